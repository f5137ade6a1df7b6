// SPDX-License-Identifier: Apache-2.0
// See exact_posterior.h. Plain loops around one Cholesky factor a component.
#include "engine/inverse/exact_posterior.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"
#include "kernels/random/host_normal.h"

namespace ito {
namespace {

// The counter's last word of the posterior's draws; the prior's is 0.
constexpr uint32_t kPosteriorDraws = 1;
constexpr uint32_t kComponentStep = 0, kNormalStep = 1;

std::vector<double> product(const DenseMatrix& a, const std::vector<double>& x) {
  std::vector<double> y(static_cast<size_t>(a.rows), 0.0);
  for (int64_t row = 0; row < a.rows; ++row)
    for (int64_t column = 0; column < a.columns; ++column)
      y[static_cast<size_t>(row)] += a.at(row, column) * x[static_cast<size_t>(column)];
  return y;
}

DenseMatrix gram_of(const DenseMatrix& h) {
  DenseMatrix gram{h.columns, h.columns, std::vector<double>(static_cast<size_t>(h.columns * h.columns), 0.0)};
  for (int64_t row = 0; row < h.rows; ++row)
    for (int64_t i = 0; i < h.columns; ++i)
      for (int64_t j = 0; j < h.columns; ++j) gram.at(i, j) += h.at(row, i) * h.at(row, j);
  return gram;
}

}  // namespace

MixturePosterior::MixturePosterior(const GaussianMixture& prior, const DenseMatrix& h, const std::vector<double>& y,
                                   double s)
    : size_(prior.size()), log_weights_(prior.log_weights()) {
  ITO_CHECK(h.columns == size_ && h.rows == static_cast<int64_t>(y.size()), "posterior: an operator of (", h.rows, ", ",
            h.columns, ") for ", y.size(), " measurements of ", size_, " numbers");
  ITO_USER_CHECK(s > 0 && std::isfinite(s), "exact posterior: noise of ", s,
                 "; it is known for noise above 0, of which a small one stands for none");
  const DenseMatrix gram = gram_of(h);
  const double precision = 1 / (s * s);
  const size_t n = static_cast<size_t>(size_);
  for (size_t k = 0; k < log_weights_.size(); ++k) {
    const double* m = &prior.means()[k * n];
    const double* v = &prior.variances()[k * n];
    DenseMatrix p = gram;
    for (double& value : p.values) value *= precision;
    for (size_t j = 0; j < n; ++j) p.values[j * n + j] += 1 / v[j];
    const DenseMatrix l = cholesky_of(p);

    std::vector<double> residual = product(h, {m, m + n});
    for (size_t i = 0; i < y.size(); ++i) residual[i] = y[i] - residual[i];
    std::vector<double> slope(n, 0.0);
    for (int64_t row = 0; row < h.rows; ++row)
      for (size_t j = 0; j < n; ++j)
        slope[j] += precision * residual[static_cast<size_t>(row)] * h.at(row, static_cast<int64_t>(j));
    const std::vector<double> shift = solve_cholesky(l, slope), explained = product(h, shift);

    // ln N(y; H m, C) with C = H V H^T + s^2 I: |C| = |P| |V| s^2M, and r^T C^-1 r is the least of
    // |r - H d|^2 / s^2 + d^T V^-1 d, which is at the shift d: a sum that cancels nothing.
    double twice = static_cast<double>(y.size()) * (std::log(2 * std::numbers::pi) + 2 * std::log(s));
    for (size_t i = 0; i < y.size(); ++i) {
      const double off = residual[i] - explained[i];
      twice += off * off * precision;
    }
    for (size_t j = 0; j < n; ++j)
      twice += shift[j] * shift[j] / v[j] + std::log(v[j]) + 2 * std::log(l.values[j * n + j]);
    log_weights_[k] -= 0.5 * twice;

    means_.emplace_back(m, m + n);
    for (size_t j = 0; j < n; ++j) means_.back()[j] += shift[j];
    DenseMatrix factor{size_, size_, std::vector<double>(n * n)};
    std::vector<double> spread(n, 0.0);
    for (size_t i = 0; i < n; ++i) {
      std::vector<double> unit(n, 0.0);
      unit[i] = 1;
      const std::vector<double> column = solve_transposed_factor(l, unit);
      for (size_t j = 0; j < n; ++j) {
        factor.values[j * n + i] = column[j];
        spread[j] += column[j] * column[j];
      }
    }
    for (double& value : spread) value = std::sqrt(value);
    factors_.push_back(std::move(factor));
    spreads_.push_back(std::move(spread));
  }
  const double most = *std::max_element(log_weights_.begin(), log_weights_.end());
  double sum = 0;
  for (const double weight : log_weights_) sum += std::exp(weight - most);
  log_evidence_ = most + std::log(sum);
  for (double& weight : log_weights_) weight -= log_evidence_;
}

std::vector<double> MixturePosterior::sample(uint64_t seed, uint32_t index) const {
  const auto bits = [&](uint32_t quad, uint32_t step) {
    return philox4x32(seed, quad, step, index, purpose_word(Purpose::Mixture, kPosteriorDraws));
  };
  const Random4 chosen = bits(0, kComponentStep);
  const double uniform = (chosen.v[0] + 0x1p-32 * chosen.v[1]) * 0x1p-32;
  size_t k = 0;
  for (double below = std::exp(log_weights_[0]); k + 1 < log_weights_.size() && uniform >= below;)
    below += std::exp(log_weights_[++k]);
  std::vector<double> z(static_cast<size_t>(size_));
  for (size_t j = 0; j < z.size(); ++j)
    z[j] = host_normal(bits(static_cast<uint32_t>(j / 4), kNormalStep), static_cast<int>(j % 4));
  std::vector<double> x = product(factors_[k], z);
  for (size_t j = 0; j < x.size(); ++j) x[j] += means_[k][j];
  return x;
}

std::vector<double> MixturePosterior::mean() const {
  std::vector<double> mean(static_cast<size_t>(size_), 0.0);
  for (size_t k = 0; k < means_.size(); ++k)
    for (size_t j = 0; j < mean.size(); ++j) mean[j] += std::exp(log_weights_[k]) * means_[k][j];
  return mean;
}

std::vector<double> MixturePosterior::deviation() const {
  const std::vector<double> centre = mean();
  std::vector<double> deviation(centre.size(), 0.0);
  for (size_t k = 0; k < means_.size(); ++k)
    for (size_t j = 0; j < centre.size(); ++j) {
      const double off = means_[k][j] - centre[j];
      deviation[j] += std::exp(log_weights_[k]) * (spreads_[k][j] * spreads_[k][j] + off * off);
    }
  for (double& value : deviation) value = std::sqrt(value);
  return deviation;
}

double MixturePosterior::cdf(int64_t j, double x) const {
  const size_t at = static_cast<size_t>(j);
  double below = 0;
  for (size_t k = 0; k < means_.size(); ++k)
    below += std::exp(log_weights_[k]) * 0.5 * std::erfc((means_[k][at] - x) / (spreads_[k][at] * std::numbers::sqrt2));
  return below;
}

double MixturePosterior::quantile(int64_t j, double p) const {
  ITO_CHECK(p > 0 && p < 1, "posterior: a quantile at ", p, ", expected between 0 and 1");
  const size_t at = static_cast<size_t>(j);
  constexpr double kFar = 40;  // deviations, behind which a double sees nothing of a normal law
  double low = means_[0][at], high = low;
  for (size_t k = 0; k < means_.size(); ++k) {
    low = std::min(low, means_[k][at] - kFar * spreads_[k][at]);
    high = std::max(high, means_[k][at] + kFar * spreads_[k][at]);
  }
  constexpr int kHalvings = 100;  // to neighbouring doubles
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = low + (high - low) / 2;
    (cdf(j, middle) < p ? low : high) = middle;
  }
  return high;
}

}  // namespace ito
