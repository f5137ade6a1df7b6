// SPDX-License-Identifier: Apache-2.0
// Attention in sim: the portable kernels.
#include "kernels/nn/attention.h"

namespace ito {

void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape) {
  attention_portable_forward(stream, out, lse, q, k, v, shape);
}

size_t attention_backward_workspace(const AttentionShape& shape) {
  return attention_portable_workspace(shape);
}

void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void* workspace) {
  attention_portable_backward(stream, dq, dk, dv, dout, out, lse, q, k, v, shape, workspace);
}

}  // namespace ito
