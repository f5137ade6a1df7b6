// SPDX-License-Identifier: Apache-2.0
// Rows times a matrix for the time and class embeddings, always fp32: y[n,k] = b[k] + sum_c f(x[n,c]) w[k,c] where f is
// SiLU or nothing. One row is one independent sum, so its bits do not depend on how many rows there are.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct LinearShape {
  int n = 0, c = 0, k = 0;
  bool silu_input = false;  // f
};

// y (N, K), x (N, C), weight (K, C), bias (K) or null.
void linear_forward(Stream& stream, float* y, const float* x, const float* weight, const float* bias,
                    const LinearShape& shape);
// dx (N, C): dL/dx, through f; the sum over K in four parts of ceil(K / 4), each in order, joined by pairs.
void linear_backward_data(Stream& stream, float* dx, Write write, const float* dy, const float* x, const float* weight,
                          const LinearShape& shape);
// dweight (K, C), dbias (K) or null, set: one partial per images_per_chunk() rows, joined in the order of
// kernels/sum_tree.h; no workspace (a thread owns an element).
void linear_backward_weight(Stream& stream, float* dweight, float* dbias, const float* dy, const float* x,
                            const LinearShape& shape);

}  // namespace ito
