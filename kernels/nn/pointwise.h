// SPDX-License-Identifier: Apache-2.0
// Elementwise operations and the row sums that are their gradients. `count` is elements; rows are (N, HW, C).
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// y = scale * (a + b); b null: y = scale * a. y may alias a.
void add_scaled(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b, float scale, int64_t count);
// y (+)= scale * x: how a gradient reaches a tensor used more than once.
void accumulate(Stream& stream, DataRef y, Write write, ConstDataRef x, float scale, int64_t count);
// y = a * x + b.
void affine(Stream& stream, DataRef y, ConstDataRef x, float a, float b, int64_t count);
// y = x * sigmoid(x); dx (+)= dy * silu'(x).
void silu_forward(Stream& stream, DataRef y, ConstDataRef x, int64_t count);
void silu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, int64_t count);
// Storage conversion, fp32 <-> bf16 (round to nearest even).
void convert(Stream& stream, DataRef y, ConstDataRef x, int64_t count);
// y[n,p,c] = scale * (x[n,p,c] + bias[c] + residual[n,p,c]); every operand but x may be null. y may alias
// x.
struct PointwiseEpilogue {
  const float* bias = nullptr;
  ConstDataRef residual;
  float scale = 1.0f;
};
void add_epilogue(Stream& stream, DataRef y, ConstDataRef x, const PointwiseEpilogue& epilogue, int n, int hw, int c);
// y[n,:] = x[n,:] / t[n]  (the fourier network's output); also its own backward. Rows of `row` elements.
void divide_rows(Stream& stream, DataRef y, Write write, ConstDataRef x, const float* t, int n, int64_t row);

// dbias[c] = sum_n sum_p dy[n,p,c], set: one partial per images_per_chunk() images, joined in the order of
// kernels/sum_tree.h. partial (ceil(n / images_per_chunk()), C) fp32 scratch.
void sum_rows(Stream& stream, float* dbias, ConstDataRef dy, float* partial, int n, int hw, int c);

}  // namespace ito
