// SPDX-License-Identifier: Apache-2.0
// Factors of small dense matrices, in double, on the host: of an operator's axes, or of a whole operator that is small.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ito {

struct DenseMatrix {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;  // (rows, columns)
  double& at(int64_t row, int64_t column) { return values[static_cast<size_t>(row * columns + column)]; }
  double at(int64_t row, int64_t column) const { return values[static_cast<size_t>(row * columns + column)]; }
};

// A = U S V^T with a square V (columns, columns) and as many singular values, from large to small: those behind the
// rows' are 0. U is (rows, columns), its column 0 where the value is below kLeastValue of the largest.
struct DenseSvd {
  DenseMatrix u, v;
  std::vector<double> values;
};
DenseSvd svd_of(const DenseMatrix& a);
// V and the values alone, through A^T A: much quicker, and values next to kLeastValue of the largest are only good to a
// thousandth of themselves.
DenseSvd right_factors_of(const DenseMatrix& a);

// The lower triangle L of a symmetric positive definite matrix, A = L L^T; Error if it is none.
DenseMatrix cholesky_of(const DenseMatrix& a);
// A^-1 b through L.
std::vector<double> solve_cholesky(const DenseMatrix& l, std::vector<double> b);

}  // namespace ito
