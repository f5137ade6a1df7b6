// SPDX-License-Identifier: Apache-2.0
// See dense.h. Eigen does the work, which is why nothing else includes it.
#include "engine/inverse/dense.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

#include <algorithm>
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

}  // namespace

DenseSvd svd_of(const DenseMatrix& a) {
  const Eigen::JacobiSVD<Matrix> svd(eigen(a), Eigen::ComputeThinU | Eigen::ComputeFullV);
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

DenseSvd right_factors_of(const DenseMatrix& a) {
  const Matrix rows = eigen(a);
  const Eigen::SelfAdjointEigenSolver<Matrix> found(rows.transpose() * rows);  // from small to large
  const double largest = std::sqrt(std::max(0.0, found.eigenvalues()[a.columns - 1]));
  DenseSvd result;
  result.v = dense(found.eigenvectors().rowwise().reverse());
  for (Eigen::Index i = a.columns - 1; i >= 0; --i) {
    const double value = std::sqrt(std::max(0.0, found.eigenvalues()[i]));
    result.values.push_back(value > kLeastValue * largest ? value : 0.0);
  }
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

}  // namespace ito
