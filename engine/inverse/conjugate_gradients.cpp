// SPDX-License-Identifier: Apache-2.0
// See conjugate_gradients.h.
#include "engine/inverse/conjugate_gradients.h"

namespace ito {

void ConjugateGradients::plan(int batch, int64_t size, BufferList& buffers) {
  size_ = size;
  const size_t numbers = static_cast<size_t>(batch * size);
  buffers.add(r_, numbers, "a residual of conjugate gradients");
  buffers.add(p_, numbers, "a direction of conjugate gradients");
  buffers.add(ap_, numbers, "an image of that direction");
  buffers.add(rr_, 2 * static_cast<size_t>(batch), "norms of conjugate gradients");
}

void ConjugateGradients::solve(Stream& stream, float* x, const float* b, int n, const Apply& apply, int steps) {
  const CgState state{.x = x, .r = r_.data(), .p = p_.data(), .rr = rr_.data()};
  cg_begin(stream, state, b, n, size_);
  for (int i = 0; i < steps; ++i) {
    apply(stream, ap_.data(), p_.data(), n);
    cg_step(stream, state, ap_.data(), n, size_);
  }
}

}  // namespace ito
