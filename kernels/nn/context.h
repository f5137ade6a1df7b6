// SPDX-License-Identifier: Apache-2.0
// Tokens in front of an image's own, made of what the image is conditioned by (in context, Peebles and Xie 2023), and
// taken away again. T: tokens of the image, L: tokens in front.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct ContextShape {
  int n = 0, before = 0, tokens = 0, c = 0;  // N, L, T, C
};

// y (N, L + T, C) = [row[n] + table[l] for l in L, x (N, T, C)]; row (N, C) and table (L, C) fp32.
void add_context(Stream& stream, DataRef y, ConstDataRef x, const float* row, const float* table,
                 const ContextShape& shape);
// drow (N, C) (+)= the sum over L of dy. The gradients of x and of the table are take_tokens of dy.
void add_context_backward(Stream& stream, float* drow, Write write, ConstDataRef dy, const ContextShape& shape);

// y (N, T, C) (+)= x (N, L + T, C) from token L on; or with front y (N, L, C), the tokens before that.
void take_tokens(Stream& stream, DataRef y, Write write, ConstDataRef x, bool front, const ContextShape& shape);
// dx (N, L + T, C) (+)= dy (N, T, C), and nothing for the tokens in front.
void drop_context_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, const ContextShape& shape);

}  // namespace ito
