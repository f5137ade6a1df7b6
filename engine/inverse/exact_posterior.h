// SPDX-License-Identifier: Apache-2.0
// What solvers of inverse problems should reach, where it is known: the posterior of a Gaussian mixture under
// y = H x + s z. Component k of it is N(m_k + P_k^-1 H^T (y - H m_k) / s^2, P_k^-1) with P_k = V_k^-1 + H^T H / s^2,
// and its weight is w_k times the density of y in N(H m_k, H V_k H^T + s^2 I): a mixture again, of full covariances. On
// the host, in double; the cost is a factor of `size` rows a component.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/diffusion/gaussian_mixture.h"
#include "engine/inverse/dense.h"

namespace ito {

class MixturePosterior {
 public:
  // h (M, size) in the mixture's order, y (M). UserError if s is not above 0: data without noise leave a law on a
  // plane, which has no such factors. A small s stands for none: at 1e-6 nothing is lost to rounding yet.
  MixturePosterior(const GaussianMixture& prior, const DenseMatrix& h, const std::vector<double>& y, double s);

  int components() const { return static_cast<int>(log_weights_.size()); }
  int64_t size() const { return size_; }
  const std::vector<double>& log_weights() const { return log_weights_; }       // of weights that sum to 1
  const std::vector<double>& mean_of(int k) const { return means_[index(k)]; }  // (size)
  const DenseMatrix& factor_of(int k) const { return factors_[index(k)]; }      // F, the covariance is F F^T
  double deviation_of(int k, int64_t j) const { return spreads_[index(k)][static_cast<size_t>(j)]; }
  double log_evidence() const { return log_evidence_; }  // ln p(y)

  // An exact draw; a function of (seed, index) alone, and another than the prior's of the same.
  std::vector<double> sample(uint64_t seed, uint32_t index) const;
  // Of each number.
  std::vector<double> mean() const;
  std::vector<double> deviation() const;
  // Of number j: how much of the law is below x, and the x that a part p of it, above 0 and below 1, is below.
  double cdf(int64_t j, double x) const;
  double quantile(int64_t j, double p) const;

 private:
  static size_t index(int k) { return static_cast<size_t>(k); }

  int64_t size_;
  double log_evidence_ = 0;
  std::vector<double> log_weights_;
  std::vector<std::vector<double>> means_, spreads_;
  std::vector<DenseMatrix> factors_;
};

}  // namespace ito
