// SPDX-License-Identifier: Apache-2.0
// Softmax over the rows of a matrix of attention scores in fp32, and its backward: what stands between the matrix
// products of an attention (seams/lanes/own_attention.h).
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// Rows of `columns` numbers, `pitch` elements apart in every matrix: a multiple of 16.
struct SoftmaxRows {
  int64_t rows = 0;
  int columns = 0;
  int64_t pitch = 0;
};

// p[i][j] = e^(s[i][j] - m) / l with m = max_j s[i][j], l = sum_j e^(s[i][j] - m); lse[i] = m + ln l. In fp32 p may be
// the scores' own memory.
void softmax_rows_forward(Stream& stream, DataRef p,  // (rows, pitch)
                          float* lse,                 // (rows)
                          const float* scores,        // (rows, pitch)
                          const SoftmaxRows& shape);

// p[i][j] = e^(s[i][j] - lse[i]);  ds[i][j] = scale p[i][j] (dp[i][j] - sum_k p[i][k] dp[i][k]): the gradient of the
// scores before they were scaled. In fp32 p may be the scores' memory and ds that of dp.
void softmax_rows_backward(Stream& stream, DataRef p, DataRef ds,  // (rows, pitch), of one type
                           const float* scores, const float* dp,   // (rows, pitch)
                           const float* lse,                       // (rows)
                           const SoftmaxRows& shape, float scale);

}  // namespace ito
