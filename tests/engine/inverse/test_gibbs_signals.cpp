// SPDX-License-Identifier: Apache-2.0
// The reference of signals with heavy-tailed increments: Gibbs sampling against sums over a grid, and the mixture that
// stands for their law in a model against both.
#include "tests/engine/inverse/gibbs_signals.h"

#include <gtest/gtest.h>

#include "engine/inverse/exact_posterior.h"
#include "models/mixture/mixture_config.h"
#include "tests/engine/inverse/increment_mixture.h"

namespace ito::ref {
namespace {

using Numbers = std::vector<double>;

struct Case {
  const char* name;
  DenseMatrix h;
  Numbers y;
};

// Of three numbers; the last is the mean and the cosine of the one frequency they have, each over its length.
const std::vector<Case>& cases() {
  static const double third = 1 / std::sqrt(3.0), root = std::sqrt(2.0 / 3);
  static const std::vector<Case> all = {
      {"identity", {3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1}}, {0.3, 0.5, 2.0}},
      {"convolution", {3, 3, {0.7, 0.2, 0.1, 0.1, 0.7, 0.2, 0.2, 0.1, 0.7}}, {-0.4, 0.5, 0.6}},
      {"sub-sampling", {2, 3, {1, 0, 0, 0, 0, 1}}, {-0.5, 0.9}},
      {"partial Fourier", {2, 3, {third, third, third, root, -root / 2, -root / 2}}, {0.8, -0.7}}};
  return all;
}

constexpr double kNoise = 0.4;

SignalLaw law(Increments increments) {
  return {increments, 0.5, 3};
}

// Mean and variance of each number by the trapezoidal rule in u, d = sinh(u) / 2: steps of 0.03 around 0, where the
// densities have their kink on a point, and extents of 16 scales of the widest law.
struct GridMoments {
  Numbers mean, variance;
};

GridMoments grid_moments(const SignalLaw& law, const Case& c) {
  constexpr int kHalf = 76;
  constexpr double kStep = 0.06;
  Numbers d, weights[3];
  for (int i = -kHalf; i <= kHalf; ++i) {
    d.push_back(0.5 * std::sinh(i * kStep));
    for (size_t j = 0; j < 3; ++j) weights[j].push_back(law.density(j, d.back()) * std::cosh(i * kStep));
  }
  double total = 0;
  Numbers first(3, 0.0), second(3, 0.0);
  for (size_t i0 = 0; i0 < d.size(); ++i0)
    for (size_t i1 = 0; i1 < d.size(); ++i1)
      for (size_t i2 = 0; i2 < d.size(); ++i2) {
        const double x[3] = {d[i0], d[i0] + d[i1], d[i0] + d[i1] + d[i2]};
        double exponent = 0;
        for (int64_t m = 0; m < c.h.rows; ++m) {
          double off = c.y[static_cast<size_t>(m)];
          for (int64_t at = 0; at < 3; ++at) off -= c.h.at(m, at) * x[at];
          exponent -= 0.5 * off * off / (kNoise * kNoise);
        }
        if (exponent < -40) continue;  // a part of 1e-17
        const double w = weights[0][i0] * weights[1][i1] * weights[2][i2] * std::exp(exponent);
        total += w;
        for (size_t j = 0; j < 3; ++j) first[j] += w * x[j], second[j] += w * x[j] * x[j];
      }
  GridMoments of;
  for (size_t j = 0; j < 3; ++j) {
    of.mean.push_back(first[j] / total);
    of.variance.push_back(second[j] / total - of.mean[j] * of.mean[j]);
  }
  return of;
}

// Six standard errors, which the chain's parts give with what is alike between neighbours, and the grid's own error.
TEST(GibbsSignals, HaveTheMomentsOfAGrid) {
  constexpr double kOfGrid = 2e-4;  // half the step and three times the extent change 8e-5
  for (const Increments increments : {Increments::Laplace, Increments::Student3})
    for (const Case& c : cases()) {
      GibbsSignals chain(law(increments), c.h, c.y, kNoise, 3);
      const ChainMoments drawn = chain_moments(chain, 3, 40, 500);
      const GridMoments summed = grid_moments(law(increments), c);
      for (size_t j = 0; j < 3; ++j) {
        EXPECT_NEAR(drawn.mean[j], summed.mean[j], 6 * drawn.mean_error[j] + kOfGrid) << c.name << " " << j;
        EXPECT_NEAR(drawn.variance[j], summed.variance[j], 6 * drawn.variance_error[j] + kOfGrid) << c.name << " " << j;
      }
    }
}

TEST(GibbsSignals, PartsAreAsNearTheLawAsIsSaid) {
  EXPECT_NEAR(total_variation(Increments::Laplace, 2), 0.0325, 5e-5);
  EXPECT_NEAR(total_variation(Increments::Laplace, 3), 0.0116, 5e-5);
  EXPECT_NEAR(total_variation(Increments::Student3, 2), 0.0154, 5e-5);
  EXPECT_NEAR(total_variation(Increments::Student3, 3), 0.0043, 5e-5);
}

// The model's posterior beside the law's, in the signal: what of a solver's error on the model is not the solver's.
TEST(GibbsSignals, MixtureOfIncrementsHasNearlyTheirPosterior) {
  // By parts, as measured: up to 0.052 and 0.010 of a deviation, 0.040 and 0.012 of the ratio of two.
  constexpr double kMeanOff[] = {0, 0, 0.06, 0.015}, kDeviationOff[] = {0, 0, 0.05, 0.015};
  for (const Increments increments : {Increments::Laplace, Increments::Student3})
    for (const int parts : {2, 3})
      for (const Case& c : cases()) {
        const GridMoments summed = grid_moments(law(increments), c);
        const IncrementMixture mixture = increment_mixture(law(increments), parts, 3);
        const MixturePosterior posterior(as_gaussian_mixture(mixture), of_increments(c.h), c.y, kNoise);
        Numbers mean(3, 0.0), second(3, 0.0);
        for (int k = 0; k < posterior.components(); ++k) {
          const double weight = std::exp(posterior.log_weights()[static_cast<size_t>(k)]);
          double x = 0;
          Numbers row(3, 0.0);  // of the factor, summed as the signal is
          for (int64_t j = 0; j < 3; ++j) {
            const size_t at = static_cast<size_t>(j);
            x += posterior.mean_of(k)[at];
            double square = 0;
            for (int64_t i = 0; i < 3; ++i) {
              row[static_cast<size_t>(i)] += posterior.factor_of(k).at(j, i);
              square += row[static_cast<size_t>(i)] * row[static_cast<size_t>(i)];
            }
            mean[at] += weight * x, second[at] += weight * (square + x * x);
          }
        }
        for (size_t j = 0; j < 3; ++j) {
          const double deviation = std::sqrt(summed.variance[j]);
          EXPECT_NEAR(mean[j], summed.mean[j], kMeanOff[parts] * deviation) << c.name << " " << j;
          EXPECT_NEAR(std::sqrt(second[j] - mean[j] * mean[j]) / deviation, 1, kDeviationOff[parts])
              << c.name << " " << j;
        }
      }
}

TEST(GibbsSignals, MixtureOfIncrementsIsAModel) {
  const IncrementMixture mixture = increment_mixture(law(Increments::Student3), 2, 8);
  const MixtureConfig config = mixture_config_from_json(as_json(mixture), "increments", nullptr);
  EXPECT_EQ(config.image.size(), 8);
  EXPECT_EQ(config.mixture().variances(), as_gaussian_mixture(mixture).variances());
  EXPECT_EQ(config.mixture().log_weights(), as_gaussian_mixture(mixture).log_weights());
  EXPECT_EQ(config.mixture().components(), 256);
}

}  // namespace
}  // namespace ito::ref
