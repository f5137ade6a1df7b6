// SPDX-License-Identifier: Apache-2.0
// C (+)= alpha op(A) op(B) in fp64, definitions as in kernels/seams/gemm.h. Row distances must be given.
#pragma once
#include <vector>

#include "kernels/seams/gemm.h"

namespace ito::ref {

inline void gemm(std::vector<double>& c, bool add, const std::vector<double>& a, const std::vector<double>& b,
                 const GemmShape& s) {
  for (int64_t z = 0; z < s.batch; ++z) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < s.k; ++l) {
          const double left = a[z * s.stride_a + (s.transpose_a ? l * s.lda + i : i * s.lda + l)];
          const double right = b[z * s.stride_b + (s.transpose_b ? j * s.ldb + l : l * s.ldb + j)];
          sum += left * right;
        }
        double& out = c[z * s.stride_c + i * s.ldc + j];
        out = (add ? out : 0.0) + static_cast<double>(s.alpha) * sum;
      }
    }
  }
}

}  // namespace ito::ref
