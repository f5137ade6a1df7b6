// SPDX-License-Identifier: Apache-2.0
// See dense.h. Eigen does the work, which is why nothing else includes it.
#include "engine/inverse/dense.h"

#include <Eigen/Cholesky>
#include <Eigen/SVD>
#include <cmath>

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

constexpr unsigned kFactors = Eigen::ComputeThinU | Eigen::ComputeFullV;

// Whether the factors are orthogonal and their product is the matrix, to much less than a float tells apart.
template <class Svd>
bool holds(const Svd& svd, const Matrix& a) {
  constexpr double kMost = 1e-11;
  const Matrix &u = svd.matrixU(), &v = svd.matrixV();
  const auto orthogonal = [](const Matrix& m) {
    return (m.transpose() * m - Matrix::Identity(m.cols(), m.cols())).norm() <= kMost * std::sqrt(m.cols());
  };
  const Matrix product = u * svd.singularValues().asDiagonal() * v.leftCols(u.cols()).transpose();
  return orthogonal(u) && orthogonal(v) && (product - a).norm() <= kMost * a.norm();
}

template <class Svd>
DenseSvd factors_of(const Svd& svd, const DenseMatrix& a) {
  const auto& found = svd.singularValues();
  DenseSvd result;
  result.v = dense(svd.matrixV());
  result.values.assign(static_cast<size_t>(a.columns), 0.0);
  Matrix u = Matrix::Zero(a.rows, a.columns);
  for (Eigen::Index i = 0; i < found.size(); ++i) {
    if (found[i] <= kLeastValue * found[0]) break;
    result.values[static_cast<size_t>(i)] = found[i];
    u.col(i) = svd.matrixU().col(i);
  }
  result.u = dense(u);
  return result;
}

}  // namespace

// Divide and conquer first, which takes a hundredth of the time at 256 columns. Of matrices with many equal singular
// values, which those of measurements are, Eigen 3.4.0 sometimes makes factors of another matrix; then by rotations.
DenseSvd svd_of(const DenseMatrix& a) {
  const Matrix matrix = eigen(a);
  const Eigen::BDCSVD<Matrix> fast(matrix, kFactors);
  if (holds(fast, matrix)) return factors_of(fast, a);
  const Eigen::JacobiSVD<Matrix> sure(matrix, kFactors);
  ITO_CHECK(holds(sure, matrix), "a matrix of ", a.rows, " x ", a.columns, " was not factored");
  return factors_of(sure, a);
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
