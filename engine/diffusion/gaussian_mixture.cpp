// SPDX-License-Identifier: Apache-2.0
// See gaussian_mixture.h. Plain loops: this is what faster code is held against.
#include "engine/diffusion/gaussian_mixture.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "kernels/error.h"
#include "kernels/random/host_normal.h"

namespace ito {
namespace {

constexpr uint32_t kComponentStep = 0, kNormalStep = 1;  // step words of a sample's draws

double log_sum_exp(const std::vector<double>& values) {
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

}  // namespace

GaussianMixture::GaussianMixture(std::vector<double> weights, std::vector<double> means, std::vector<double> variances)
    : log_weights_(std::move(weights)), means_(std::move(means)), variances_(std::move(variances)) {
  const size_t components = log_weights_.size();
  ITO_CHECK(components > 0 && !means_.empty() && means_.size() % components == 0 && variances_.size() == means_.size(),
            "gaussian mixture: ", components, " weights, ", means_.size(), " means, ", variances_.size(),
            " variances, expected (K), (K, size), (K, size)");
  size_ = static_cast<int64_t>(means_.size() / components);
  double sum = 0;
  for (const double weight : log_weights_) sum += weight;
  for (double& weight : log_weights_) weight = std::log(weight) - std::log(sum);
  for (const double weight : log_weights_)
    ITO_CHECK(std::isfinite(weight), "gaussian mixture: a weight is not positive");
  for (const double v : variances_) ITO_CHECK(v > 0 && std::isfinite(v), "gaussian mixture: a variance is ", v);
}

std::vector<double> GaussianMixture::sample(uint64_t seed, uint32_t index) const {
  const auto bits = [&](uint32_t quad, uint32_t step) {
    return philox4x32(seed, quad, step, index, purpose_word(Purpose::Mixture));
  };
  const Random4 chosen = bits(0, kComponentStep);
  const double uniform = (chosen.v[0] + 0x1p-32 * chosen.v[1]) * 0x1p-32;
  size_t k = 0;
  for (double below = std::exp(log_weights_[0]); k + 1 < log_weights_.size() && uniform >= below;)
    below += std::exp(log_weights_[++k]);
  std::vector<double> x(size_);
  for (size_t j = 0; j < x.size(); ++j) {
    const size_t at = k * x.size() + j;
    const double z = host_normal(bits(static_cast<uint32_t>(j / 4), kNormalStep), static_cast<int>(j % 4));
    x[j] = means_[at] + std::sqrt(variances_[at]) * z;
  }
  return x;
}

std::vector<double> GaussianMixture::mean() const {
  std::vector<double> mean(size_);
  for (size_t at = 0; at < means_.size(); ++at)
    mean[at % mean.size()] += std::exp(log_weights_[at / mean.size()]) * means_[at];
  return mean;
}

std::vector<double> GaussianMixture::variance() const {
  const std::vector<double> centre = mean();
  std::vector<double> variance(size_);
  for (size_t at = 0; at < means_.size(); ++at) {
    const size_t j = at % centre.size();
    const double off = means_[at] - centre[j];
    variance[j] += std::exp(log_weights_[at / centre.size()]) * (variances_[at] + off * off);
  }
  return variance;
}

double GaussianMixture::slope(const std::vector<double>& x, double alpha, double sigma, size_t k, size_t j) const {
  const size_t at = k * x.size() + j;
  return (x[j] - alpha * means_[at]) / (alpha * alpha * variances_[at] + sigma * sigma);
}

std::vector<double> GaussianMixture::log_joints(const std::vector<double>& x, double alpha, double sigma) const {
  ITO_CHECK(static_cast<int64_t>(x.size()) == size_, "gaussian mixture: ", x.size(), " numbers of a sample, expected ",
            size_);
  std::vector<double> joints = log_weights_;
  for (size_t k = 0; k < joints.size(); ++k)
    for (size_t j = 0; j < x.size(); ++j) {
      const size_t at = k * x.size() + j;
      const double c = alpha * alpha * variances_[at] + sigma * sigma, off = x[j] - alpha * means_[at];
      joints[k] -= 0.5 * (off * off / c + std::log(2 * std::numbers::pi * c));
    }
  return joints;
}

std::vector<double> GaussianMixture::posterior_weights(const std::vector<double>& x, double alpha, double sigma) const {
  std::vector<double> r = log_joints(x, alpha, sigma);
  const double total = log_sum_exp(r);
  for (double& value : r) value = std::exp(value - total);
  return r;
}

double GaussianMixture::log_density(const std::vector<double>& x, double alpha, double sigma) const {
  return log_sum_exp(log_joints(x, alpha, sigma));
}

std::vector<double> GaussianMixture::score(const std::vector<double>& x, double alpha, double sigma) const {
  const std::vector<double> r = posterior_weights(x, alpha, sigma);
  std::vector<double> score(x.size());
  for (size_t k = 0; k < r.size(); ++k)
    for (size_t j = 0; j < x.size(); ++j) score[j] -= r[k] * slope(x, alpha, sigma, k, j);
  return score;
}

std::vector<double> GaussianMixture::expected_x0(const std::vector<double>& x, double alpha, double sigma) const {
  const std::vector<double> r = posterior_weights(x, alpha, sigma);
  std::vector<double> x0(x.size());
  for (size_t k = 0; k < r.size(); ++k)
    for (size_t j = 0; j < x.size(); ++j) {
      const size_t at = k * x.size() + j;
      x0[j] += r[k] * (means_[at] + alpha * variances_[at] * slope(x, alpha, sigma, k, j));
    }
  return x0;
}

std::vector<double> GaussianMixture::expected_eps(const std::vector<double>& x, double alpha, double sigma) const {
  std::vector<double> eps = score(x, alpha, sigma);
  for (double& value : eps) value *= -sigma;
  return eps;
}

}  // namespace ito
