// SPDX-License-Identifier: Apache-2.0
// See the header. Block = system: sums of squares in double over its numbers, in an order that the block alone decides,
// then the updates that need them. A step reads p, Ap, r, x and writes x, r, p: 28 bytes a number, of which the second
// reading finds the system in cache.
#include "kernels/inverse/conjugate_gradients.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kCgThreads = 512;

KERNEL void cg_begin_kernel(CgState state, const float* b, int64_t size) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * size;
  double sum = 0;
  BLOCK_LOOP(i, size) {
    const float value = b[first + i];
    state.x[first + i] = 0.0f;
    state.r[first + i] = value;
    state.p[first + i] = value;
    sum += static_cast<double>(value) * value;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    state.rr[2 * blockIdx.x] = sum;
    state.rr[2 * blockIdx.x + 1] = sum;
  }
}

KERNEL void cg_step_kernel(CgState state, const float* ap, int64_t size) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * size;
  const double rr = state.rr[2 * blockIdx.x];
  const bool converged = !(rr > kCgConverged * kCgConverged * state.rr[2 * blockIdx.x + 1]);
  double curvature = 0;
  BLOCK_LOOP(i, size) curvature += static_cast<double>(state.p[first + i]) * ap[first + i];
  curvature = block_sum(curvature);
  const float a = curvature > 0 && !converged ? static_cast<float>(rr / curvature) : 0.0f;
  double sum = 0;
  BLOCK_LOOP(i, size) {
    const float r = fmaf(-a, ap[first + i], state.r[first + i]);
    state.x[first + i] = fmaf(a, state.p[first + i], state.x[first + i]);
    state.r[first + i] = r;
    sum += static_cast<double>(r) * r;
  }
  sum = block_sum(sum);
  const float b = rr > 0 ? static_cast<float>(sum / rr) : 0.0f;
  BLOCK_LOOP(i, size) state.p[first + i] = fmaf(b, state.p[first + i], state.r[first + i]);
  if (threadIdx.x == 0) state.rr[2 * blockIdx.x] = sum;
}

DEVICE void scale_and_shift_item(int64_t i, float* out, const float* in, const float* pairs, const int64_t* row) {
  const int64_t at = row ? 2 * *row : 0;
  out[i] = fmaf(pairs[at], out[i], pairs[at + 1] * in[i]);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void cg_begin(Stream& stream, const CgState& state, const float* b, int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && state.x && state.r && state.p && state.rr && b, "cg_begin: N ", n, ", size ", size,
            ", expected positive sizes and memory for all of its state");
  launch<cg_begin_kernel>("cg_begin", Dim3(n), kCgThreads, 0, stream, state, b, size);
}

void cg_step(Stream& stream, const CgState& state, const float* ap, int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && ap, "cg_step: N ", n, ", size ", size, ", expected positive sizes and A p");
  launch<cg_step_kernel>("cg_step", Dim3(n), kCgThreads, 0, stream, state, ap, size);
}

void scale_and_shift(Stream& stream, float* out, const float* in, const float* pairs, const int64_t* row,
                     int64_t count) {
  ITO_CHECK(out && in && pairs, "scale_and_shift: an operand is null");
  for_each<scale_and_shift_item>("scale_and_shift", count, stream, out, in, pairs, row);
}

}  // namespace ito
