// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture and the product with its Jacobian, as plain fp64 loops over whole matrices:
// definitions as in kernels/diffusion/mixture.h.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace ito::ref {

// One image at one level.
struct MixtureCase {
  std::vector<double> weights, means, variances;  // (K), (K, size), (K, size)
  double alpha = 1, sigma = 1;
  size_t size() const { return means.size() / weights.size(); }
  double offset(const std::vector<double>& x, size_t k, size_t j) const { return x[j] - alpha * means[k * size() + j]; }
  double variance(size_t k, size_t j) const { return alpha * alpha * variances[k * size() + j] + sigma * sigma; }
};

inline std::vector<double> mixture_posterior(const std::vector<double>& x, const MixtureCase& c) {
  std::vector<double> logs;
  for (size_t k = 0; k < c.weights.size(); ++k) {
    double sum = std::log(c.weights[k]);
    for (size_t j = 0; j < c.size(); ++j)
      sum -= 0.5 * (std::pow(c.offset(x, k, j), 2) / c.variance(k, j) + std::log(c.variance(k, j)));
    logs.push_back(sum);
  }
  const double most = *std::max_element(logs.begin(), logs.end());
  double total = 0;
  for (double& value : logs) total += value = std::exp(value - most);
  for (double& value : logs) value /= total;
  return logs;
}

// magnitude, if given: the sums of the absolute terms.
inline std::vector<double> mixture_eps(const std::vector<double>& x, const MixtureCase& c,
                                       std::vector<double>* magnitude = nullptr) {
  const std::vector<double> r = mixture_posterior(x, c);
  std::vector<double> eps(c.size());
  if (magnitude) magnitude->assign(c.size(), 0);
  for (size_t k = 0; k < r.size(); ++k)
    for (size_t j = 0; j < c.size(); ++j) {
      const double term = c.sigma * r[k] * c.offset(x, k, j) / c.variance(k, j);
      eps[j] += term;
      if (magnitude) (*magnitude)[j] += std::fabs(term);
    }
  return eps;
}

// J u by way of the whole matrix J.
inline std::vector<double> mixture_product(const std::vector<double>& x, const std::vector<double>& u,
                                           const MixtureCase& c, std::vector<double>* magnitude = nullptr) {
  const std::vector<double> r = mixture_posterior(x, c);
  const size_t size = c.size();
  const auto g = [&](size_t k, size_t j) { return c.offset(x, k, j) / c.variance(k, j); };
  std::vector<double> mean(size), product(size);
  for (size_t k = 0; k < r.size(); ++k)
    for (size_t j = 0; j < size; ++j) mean[j] += r[k] * g(k, j);
  if (magnitude) magnitude->assign(size, 0);
  for (size_t i = 0; i < size; ++i)
    for (size_t j = 0; j < size; ++j) {
      double entry = mean[i] * mean[j], terms = std::fabs(entry);
      for (size_t k = 0; k < r.size(); ++k) {
        const double term = r[k] * ((i == j ? 1 / c.variance(k, i) : 0) - g(k, i) * g(k, j));
        entry += term;
        terms += std::fabs(term);
      }
      product[i] += c.sigma * entry * u[j];
      if (magnitude) (*magnitude)[i] += c.sigma * terms * std::fabs(u[j]);
    }
  return product;
}

}  // namespace ito::ref
