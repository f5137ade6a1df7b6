// SPDX-License-Identifier: Apache-2.0
// Matrix products: ragged in every dimension, each transpose, row distances, batches.
#pragma once
#include <vector>

#include "kernels/seams/gemm.h"

namespace ito::cases {

inline GemmShape gemm(int m, int n, int k, bool ta, bool tb, int batch = 1, int slack = 0, float alpha = 1.0f) {
  GemmShape s;
  s.m = m, s.n = n, s.k = k, s.transpose_a = ta, s.transpose_b = tb, s.batch = batch, s.alpha = alpha;
  s.lda = (ta ? m : k) + slack;
  s.ldb = (tb ? k : n) + slack;
  s.ldc = n + slack;
  s.stride_a = (ta ? k : m) * s.lda + slack;
  s.stride_b = (tb ? n : k) * s.ldb + slack;
  s.stride_c = m * s.ldc + slack;
  return s;
}

inline std::vector<GemmShape> gemm_shapes() {
  return {gemm(1, 1, 1, false, false),
          gemm(64, 64, 16, false, false),
          gemm(65, 63, 17, false, false),
          gemm(5, 70, 33, true, false),
          gemm(70, 5, 31, false, true, 2),
          gemm(66, 67, 18, true, true, 3, 5, 0.37f),
          gemm(49, 49, 64, false, true, 4, 0, 0.125f),
          gemm(130, 20, 40, false, true, 1, 3)};
}

// Attention of n images with 256 tokens in one head of 256: scores and the sum by them; a layer of as many rows.
inline std::vector<GemmShape> model_gemm_shapes(int n) {
  return {gemm(256, 256, 256, false, true, n), gemm(256, 256, 256, false, false, n),
          gemm(256 * n, 256, 256, false, true)};
}

}  // namespace ito::cases
