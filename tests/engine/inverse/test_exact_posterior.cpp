// SPDX-License-Identifier: Apache-2.0
// A mixture's posterior against sums over a grid, the closed form of one number, and its own draws.
#include "engine/inverse/exact_posterior.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace ito {
namespace {

using Numbers = std::vector<double>;

GaussianMixture prior() {
  return GaussianMixture({1, 3}, {-1, 0.5, 0.8, -0.2}, {0.1, 0.3, 0.2, 0.05});
}

struct Case {
  DenseMatrix h;
  Numbers y;
  double s;
};

std::vector<Case> cases() {
  return {{{1, 2, {0.6, -0.8}}, {0.1}, 0.5},                   // less than is asked for
          {{2, 2, {1, 0, 0, 1}}, {0.2, 0.1}, 0.2},             // all of it
          {{3, 2, {1, 2, -0.5, 1, 1, 0}}, {0, 0.3, 1}, 0.9}};  // more
}

// The trapezoidal rule over all that the prior reaches, exact for such functions once its step is below their widths.
template <class F>
double integral(const Case& c, const F& f) {
  constexpr double kExtent = 6, kStep = 0.04;
  double sum = 0;
  for (double x0 = -kExtent; x0 <= kExtent; x0 += kStep)
    for (double x1 = -kExtent; x1 <= kExtent; x1 += kStep) {
      double exponent = prior().log_density({x0, x1}, 1, 0);
      for (int64_t i = 0; i < c.h.rows; ++i) {
        const double off = (c.y[static_cast<size_t>(i)] - c.h.at(i, 0) * x0 - c.h.at(i, 1) * x1) / c.s;
        exponent -= 0.5 * (off * off + std::log(2 * std::numbers::pi * c.s * c.s));
      }
      sum += std::exp(exponent) * f(x0, x1) * kStep * kStep;
    }
  return sum;
}

TEST(ExactPosterior, IsWhatSumsOverAGridSay) {
  for (const Case& c : cases()) {
    const MixturePosterior posterior(prior(), c.h, c.y, c.s);
    const double evidence = integral(c, [](double, double) { return 1.0; });
    EXPECT_NEAR(posterior.log_evidence(), std::log(evidence), 1e-8);
    const Numbers mean = posterior.mean(), deviation = posterior.deviation();
    const double mean0 = integral(c, [](double x0, double) { return x0; }) / evidence,
                 mean1 = integral(c, [](double, double x1) { return x1; }) / evidence;
    EXPECT_NEAR(mean[0], mean0, 1e-8);
    EXPECT_NEAR(mean[1], mean1, 1e-8);
    const auto off = [&](double x0, double x1) { return (x0 - mean0) * (x1 - mean1); };
    EXPECT_NEAR(deviation[0] * deviation[0],
                integral(c, [&](double x0, double) { return (x0 - mean0) * (x0 - mean0); }) / evidence, 1e-8);
    double product = 0;  // the covariance of the two numbers, of the components and between them
    for (int k = 0; k < posterior.components(); ++k) {
      const DenseMatrix& f = posterior.factor_of(k);
      const Numbers& m = posterior.mean_of(k);
      product += std::exp(posterior.log_weights()[static_cast<size_t>(k)]) *
                 (f.at(0, 0) * f.at(1, 0) + f.at(0, 1) * f.at(1, 1) + (m[0] - mean[0]) * (m[1] - mean[1]));
    }
    EXPECT_NEAR(product, integral(c, off) / evidence, 1e-8);
  }
}

TEST(ExactPosterior, OfOneNumberIsThePrecisionWeightedMean) {
  const MixturePosterior posterior(GaussianMixture({1}, {0.5}, {0.25}), {1, 1, {2}}, {3}, 0.5);
  const double precision = 1 / 0.25 + 4 / 0.25, mean = (0.5 / 0.25 + 2 * 3 / 0.25) / precision;
  EXPECT_NEAR(posterior.mean()[0], mean, 1e-14);
  EXPECT_NEAR(posterior.deviation()[0], 1 / std::sqrt(precision), 1e-14);
  EXPECT_NEAR(posterior.cdf(0, mean), 0.5, 1e-14);
  EXPECT_NEAR(posterior.quantile(0, 0.9), mean + 1.2815515655446004 / std::sqrt(precision), 1e-13);
}

TEST(ExactPosterior, QuantilesInvertTheCdf) {
  const Case c = cases()[0];
  const MixturePosterior posterior(prior(), c.h, c.y, c.s);
  for (const double p : {1e-6, 0.05, 0.4, 0.75, 0.999})
    EXPECT_NEAR(posterior.cdf(1, posterior.quantile(1, p)), p, 1e-13);
}

// Data that say nothing leave the prior, data that say all leave themselves.
TEST(ExactPosterior, EndsAreThePriorAndTheData) {
  const MixturePosterior blind(prior(), {2, 2, {1, 0, 0, 1}}, {3, -3}, 1e9);
  const MixturePosterior told(prior(), {2, 2, {1, 0, 0, 1}}, {0.2, 0.1}, 1e-6);
  for (size_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(blind.mean()[j], prior().mean()[j], 1e-12);
    EXPECT_NEAR(std::exp(blind.log_weights()[j]), std::exp(prior().log_weights()[j]), 1e-12);
    EXPECT_NEAR(told.mean()[j], Numbers({0.2, 0.1})[j], 1e-9);
    EXPECT_NEAR(told.deviation()[j], 1e-6, 1e-12);
  }
}

// Six standard errors; those of a product of two numbers from its own spread among the draws.
TEST(ExactPosterior, DrawsHaveItsMeanAndCovariance) {
  constexpr uint32_t kDraws = 20000;
  const Case c = cases()[0];
  const MixturePosterior posterior(prior(), c.h, c.y, c.s);
  const Numbers mean = posterior.mean(), deviation = posterior.deviation();
  for (size_t i = 0; i < 2; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0, product = 0, square = 0, expected = 0;
      for (uint32_t draw = 0; draw < kDraws; ++draw) {
        const Numbers x = posterior.sample(5, draw);
        const double both = (x[i] - mean[i]) * (x[j] - mean[j]);
        sum += x[i], product += both, square += both * both;
      }
      sum /= kDraws, product /= kDraws, square /= kDraws;
      for (int k = 0; k < 2; ++k) {
        const DenseMatrix& f = posterior.factor_of(k);
        const Numbers& m = posterior.mean_of(k);
        double within = 0;
        for (int64_t l = 0; l < 2; ++l) within += f.at(static_cast<int64_t>(i), l) * f.at(static_cast<int64_t>(j), l);
        expected +=
            std::exp(posterior.log_weights()[static_cast<size_t>(k)]) * (within + (m[i] - mean[i]) * (m[j] - mean[j]));
      }
      EXPECT_NEAR(sum, mean[i], 6 * deviation[i] / std::sqrt(kDraws));
      EXPECT_NEAR(product, expected, 6 * std::sqrt((square - product * product) / kDraws)) << i << " " << j;
    }
  EXPECT_EQ(posterior.sample(5, 7), posterior.sample(5, 7));
  const MixturePosterior blind(prior(), {1, 2, {0, 0}}, {0}, 1);
  EXPECT_NE(blind.sample(5, 7), prior().sample(5, 7)) << "draws of its own";
}

TEST(ExactPosterior, AsksForNoise) {
  EXPECT_THROW(MixturePosterior(prior(), {1, 2, {1, 0}}, {0}, 0), UserError);
}

}  // namespace
}  // namespace ito
