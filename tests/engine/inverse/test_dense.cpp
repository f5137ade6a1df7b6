// SPDX-License-Identifier: Apache-2.0
// Factors of dense matrices multiply back, and are orthogonal where they should be.
#include "engine/inverse/dense.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(Dense, SingularValuesMultiplyBack) {
  for (const auto& [rows, columns] : {std::pair{3, 5}, {5, 3}, {1, 4}, {4, 4}}) {
    DenseMatrix a{rows, columns, random_values(static_cast<size_t>(rows * columns), 1)};
    // One row twice: a value of 0, whose column of U is 0.
    if (rows > 1)
      for (int j = 0; j < columns; ++j) a.at(1, j) = a.at(0, j);
    const DenseSvd svd = svd_of(a);
    ASSERT_EQ(svd.values.size(), static_cast<size_t>(columns));
    for (int i = 0; i < columns; ++i) {
      EXPECT_TRUE(i == 0 || svd.values[static_cast<size_t>(i)] <= svd.values[static_cast<size_t>(i) - 1]);
      for (int j = 0; j < columns; ++j) {
        double product = 0, gram = 0, again = 0;
        for (int k = 0; k < columns; ++k) {
          product += svd.v.at(k, i) * svd.v.at(k, j);
          const double value = svd.values[static_cast<size_t>(k)];
          again += svd.v.at(i, k) * value * value * svd.v.at(j, k);
        }
        for (int k = 0; k < rows; ++k) gram += a.at(k, i) * a.at(k, j);
        EXPECT_NEAR(product, i == j, 1e-12);
        EXPECT_NEAR(again, gram, 1e-12);
      }
    }
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) {
        double product = 0;
        for (int k = 0; k < columns; ++k)
          product += svd.u.at(i, k) * svd.values[static_cast<size_t>(k)] * svd.v.at(j, k);
        EXPECT_NEAR(product, a.at(i, j), 1e-12);
      }
  }
}

TEST(Dense, CholeskySolves) {
  const DenseMatrix a{3, 3, {4, 2, 1, 2, 5, 3, 1, 3, 6}};
  const std::vector<double> x = solve_cholesky(cholesky_of(a), {9, 21, 25});
  for (size_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (size_t j = 0; j < 3; ++j) sum += a.values[3 * i + j] * x[j];
    EXPECT_NEAR(sum, (std::vector<double>{9, 21, 25})[i], 1e-12);
  }
  EXPECT_THROW(cholesky_of({2, 2, {1, 2, 2, 1}}), Error);
}

}  // namespace
}  // namespace ito::test
