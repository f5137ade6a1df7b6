// SPDX-License-Identifier: Apache-2.0
// A Gaussian mixture with diagonal covariances as a distribution of data of which everything is known: what samplers
// must reach, what denoisers estimate, what likelihoods bound. Noised to x = alpha x0 + sigma eps it is the mixture
// sum_k w_k N(alpha m_k, alpha^2 v_k + sigma^2) again, so all of this is in closed form. On the host, in double; the
// same answers on a device are an op (kernels/diffusion/mixture.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ito {

class GaussianMixture {
 public:
  // weights (K), above 0, of any sum; means, variances (K, size), variances above 0. Error for other numbers of them.
  GaussianMixture(std::vector<double> weights, std::vector<double> means, std::vector<double> variances);

  int components() const { return static_cast<int>(log_weights_.size()); }
  int64_t size() const { return size_; }                                   // numbers of a sample
  const std::vector<double>& log_weights() const { return log_weights_; }  // of weights that sum to 1
  const std::vector<double>& means() const { return means_; }
  const std::vector<double>& variances() const { return variances_; }

  // An exact draw; a function of (seed, index) alone.
  std::vector<double> sample(uint64_t seed, uint32_t index) const;
  // Mean and variance of each number.
  std::vector<double> mean() const;
  std::vector<double> variance() const;

  // Of x at the level (alpha, sigma); (1, 0) is the data itself. x has `size` numbers.
  double log_density(const std::vector<double>& x, double alpha, double sigma) const;
  std::vector<double> score(const std::vector<double>& x, double alpha, double sigma) const;  // of log_density
  // E[x0 | x] = sum_k r_k (m_k + alpha v_k g_k) and E[eps | x] = -sigma score, with mixture.h's r and g.
  std::vector<double> expected_x0(const std::vector<double>& x, double alpha, double sigma) const;
  std::vector<double> expected_eps(const std::vector<double>& x, double alpha, double sigma) const;

 private:
  // ln w_k N(x; alpha m_k, alpha^2 v_k + sigma^2).
  std::vector<double> log_joints(const std::vector<double>& x, double alpha, double sigma) const;
  std::vector<double> posterior_weights(const std::vector<double>& x, double alpha, double sigma) const;
  // (x_j - alpha m_kj) / (alpha^2 v_kj + sigma^2)
  double slope(const std::vector<double>& x, double alpha, double sigma, size_t k, size_t j) const;

  std::vector<double> log_weights_, means_, variances_;
  int64_t size_ = 0;
};

}  // namespace ito
