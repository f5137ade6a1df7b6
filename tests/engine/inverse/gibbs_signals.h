// SPDX-License-Identifier: Apache-2.0
// Signals whose posterior is known without being a mixture: x_i = d_0 + ... + d_i with independent increments of a
// Laplace or a Student law, d_0 wider than the others. Both laws are normal laws of a random variance w, so Gibbs
// sampling draws the posterior under y = H x + s z exactly in the limit, with two closed conditionals (Park and Casella
// 2008; Geweke 1993): d given the w is normal, and each w given its d is
//   Laplace, w ~ Exp(mean 2 b^2):                 1/w ~ inverse Gaussian(mean 1 / (b |d|), shape 1 / b^2),
//   Student, w ~ inverse gamma(nu/2, nu b^2/2):   w ~ inverse gamma((nu + 1)/2, (nu b^2 + d^2)/2).
// fp64, for tests.
#pragma once
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/inverse/dense.h"
#include "kernels/random/host_normal.h"

namespace ito::ref {

enum class Increments { Laplace, Student3 };
inline constexpr int kDegrees = 3;  // of freedom

struct SignalLaw {
  Increments increments;
  double scale;  // b: Laplace exp(-|d|/b) / 2b, Student b times the standard one
  double wide;   // d_0 has wide * b

  double scale_of(size_t i) const { return i == 0 ? wide * scale : scale; }
  double density(size_t i, double d) const {
    const double b = scale_of(i), u = std::fabs(d) / b;
    if (increments == Increments::Laplace) return 0.5 / b * std::exp(-u);
    const double root = 1 + u * u / kDegrees;
    return 2 / (std::numbers::pi * std::sqrt(3.0) * b * root * root);
  }
};

// H times the cumulative sum: what is measured, of the increments.
inline DenseMatrix of_increments(DenseMatrix h) {
  for (int64_t row = 0; row < h.rows; ++row)
    for (int64_t column = h.columns - 2; column >= 0; --column) h.at(row, column) += h.at(row, column + 1);
  return h;
}

class GibbsSignals {
 public:
  // h (M, size) measures the signal.
  GibbsSignals(const SignalLaw& law, const DenseMatrix& h, const std::vector<double>& y, double s, uint64_t seed)
      : law_(law), seed_(seed), size_(static_cast<size_t>(h.columns)), gram_{h.columns, h.columns, {}} {
    const DenseMatrix g = of_increments(h);
    gram_.values.assign(size_ * size_, 0.0);
    pull_.assign(size_, 0.0);
    for (int64_t row = 0; row < h.rows; ++row)
      for (int64_t i = 0; i < h.columns; ++i) {
        pull_[static_cast<size_t>(i)] += g.at(row, i) * y[static_cast<size_t>(row)] / (s * s);
        for (int64_t j = 0; j < h.columns; ++j) gram_.at(i, j) += g.at(row, i) * g.at(row, j) / (s * s);
      }
    for (size_t i = 0; i < size_; ++i) variances_.push_back(law_.scale_of(i) * law_.scale_of(i));
  }

  // One sweep: the signal of the next state of the chain.
  std::vector<double> sweep() {
    DenseMatrix precision = gram_;
    for (size_t i = 0; i < size_; ++i) precision.values[i * size_ + i] += 1 / variances_[i];
    const DenseMatrix l = cholesky_of(precision);
    std::vector<double> d = solve_cholesky(l, pull_), z(size_);
    for (double& value : z) value = normal();
    z = solve_transposed_factor(l, z);
    for (size_t i = 0; i < size_; ++i) d[i] += z[i];
    for (size_t i = 0; i < size_; ++i) variances_[i] = variance_given(law_.scale_of(i), d[i]);
    for (size_t i = 1; i < size_; ++i) d[i] += d[i - 1];
    return d;
  }

  double variance_given(double b, double d) {
    if (law_.increments == Increments::Laplace) return 1 / inverse_gaussian(1 / (b * std::fabs(d)), 1 / (b * b));
    static_assert(kDegrees == 3);  // a gamma law of shape 2: the sum of two exponential ones
    return (kDegrees * b * b + d * d) / 2 / (exponential() + exponential());
  }

 private:
  Random4 bits() { return philox4x32(seed_, next_++, 0, 0, purpose_word(Purpose::Mixture, 2)); }
  double normal() { return host_normal(bits(), 0); }
  double uniform() {  // above 0, below 1
    const Random4 random = bits();
    return (random.v[0] + (random.v[1] + 0.5) * 0x1p-32) * 0x1p-32;
  }
  double exponential() { return -std::log(uniform()); }
  // Michael, Schucany and Haas 1976, the smaller root in a form that cancels nothing.
  double inverse_gaussian(double mean, double shape) {
    const double z = normal(), a = mean * z * z / (2 * shape);
    const double part = 1 / (1 + a + std::sqrt(a * (2 + a)));
    return uniform() * (1 + part) <= 1 ? mean * part : mean / part;
  }

  SignalLaw law_;
  uint64_t seed_;
  uint32_t next_ = 0;
  size_t size_;
  DenseMatrix gram_;                      // G^T G / s^2
  std::vector<double> pull_, variances_;  // G^T y / s^2, w
};

// Mean and variance of each number of a chain, with standard errors from the spread of the means of its parts, in which
// neighbours in the chain may be alike.
struct ChainMoments {
  std::vector<double> mean, mean_error, variance, variance_error;
};

inline ChainMoments chain_moments(GibbsSignals& chain, size_t size, int parts, int sweeps_of_part) {
  for (int i = 0; i < sweeps_of_part; ++i) chain.sweep();  // from where it starts to where it belongs
  std::vector<std::vector<double>> firsts, seconds;
  for (int part = 0; part < parts; ++part) {
    firsts.emplace_back(size, 0.0), seconds.emplace_back(size, 0.0);
    for (int i = 0; i < sweeps_of_part; ++i) {
      const std::vector<double> x = chain.sweep();
      for (size_t j = 0; j < size; ++j) {
        firsts.back()[j] += x[j] / sweeps_of_part;
        seconds.back()[j] += x[j] * x[j] / sweeps_of_part;
      }
    }
  }
  ChainMoments of;
  for (size_t j = 0; j < size; ++j) {
    double mean = 0, second = 0, mean_spread = 0, variance_spread = 0;
    for (int part = 0; part < parts; ++part) {
      mean += firsts[static_cast<size_t>(part)][j] / parts;
      second += seconds[static_cast<size_t>(part)][j] / parts;
    }
    const double variance = second - mean * mean;
    for (int part = 0; part < parts; ++part) {
      const double first = firsts[static_cast<size_t>(part)][j] - mean;
      // The variance's first-order change with the part's two means.
      const double change = seconds[static_cast<size_t>(part)][j] - second - 2 * mean * first;
      mean_spread += first * first, variance_spread += change * change;
    }
    of.mean.push_back(mean), of.variance.push_back(variance);
    of.mean_error.push_back(std::sqrt(mean_spread / (parts - 1) / parts));
    of.variance_error.push_back(std::sqrt(variance_spread / (parts - 1) / parts));
  }
  return of;
}

}  // namespace ito::ref
