// SPDX-License-Identifier: Apache-2.0
// See dense.h. Eigen does the work, which is why nothing else includes it.
#include "engine/inverse/dense.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include <algorithm>

#include "engine/inverse/measurement_operator.h"

namespace ito {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix eigen(const DenseMatrix& a) {
  return Eigen::Map<const Matrix>(a.values.data(), a.rows, a.columns);
}

DenseMatrix dense(const Matrix& a) {
  return {a.rows(), a.cols(), std::vector<double>(a.data(), a.data() + a.size())};
}

}  // namespace

// By the eigenvectors of A^T A, whose values are then taken from A itself: they are as exact as A v, and only
// directions whose values are below 1e-6 of the largest mix, which count as none. Refused: Eigen 3.4.0's divide and
// conquer, which with AVX2 makes factors of another matrix where many values are equal, as those of measurements are;
// its Jacobi rotations, right and eighty times as slow at 256 columns.
DenseSvd svd_of(const DenseMatrix& a) {
  const Matrix matrix = eigen(a);
  const Eigen::SelfAdjointEigenSolver<Matrix> found(matrix.transpose() * matrix);
  ITO_CHECK(found.info() == Eigen::Success, "a matrix of ", a.rows, " x ", a.columns, " was not factored");
  const Matrix v = found.eigenvectors().rowwise().reverse();  // from the largest value on
  const Matrix images = matrix * v;
  const double largest = a.columns > 0 ? images.colwise().norm().maxCoeff() : 0;
  DenseSvd result;
  Matrix u = Matrix::Zero(a.rows, a.columns);
  for (Eigen::Index i = 0; i < a.columns; ++i) {
    const double value = images.col(i).norm();
    const bool counts = value > kLeastValue * largest;
    result.values.push_back(counts ? value : 0);
    if (counts) u.col(i) = images.col(i) / value;
  }
  result.u = dense(u);
  result.v = dense(v);
  return result;
}

DenseMatrix cholesky_of(const DenseMatrix& a) {
  const Eigen::LLT<Matrix> factor(eigen(a));
  ITO_CHECK(factor.info() == Eigen::Success, "a matrix of ", a.rows, " rows is not positive definite");
  return dense(factor.matrixL());
}

std::vector<double> solve_cholesky(const DenseMatrix& l, std::vector<double> b) {
  const Matrix lower = eigen(l);
  Eigen::Map<Eigen::VectorXd> x(b.data(), static_cast<Eigen::Index>(b.size()));
  lower.triangularView<Eigen::Lower>().solveInPlace(x);
  lower.triangularView<Eigen::Lower>().adjoint().solveInPlace(x);
  return b;
}

std::vector<double> solve_transposed_factor(const DenseMatrix& l, std::vector<double> b) {
  const Matrix lower = eigen(l);
  Eigen::Map<Eigen::VectorXd> x(b.data(), static_cast<Eigen::Index>(b.size()));
  lower.triangularView<Eigen::Lower>().adjoint().solveInPlace(x);
  return b;
}

}  // namespace ito
