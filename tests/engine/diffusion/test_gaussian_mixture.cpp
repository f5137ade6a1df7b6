// SPDX-License-Identifier: Apache-2.0
// What is known of a Gaussian mixture, one closed form against another: densities that integrate to one, scores that
// are their slopes, estimates that add up to the state, and draws with the moments.
#include "engine/diffusion/gaussian_mixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace ito {
namespace {

using Numbers = std::vector<double>;

// Two components of two numbers; weights 1/4 and 3/4.
GaussianMixture mixture() {
  return GaussianMixture({1, 3}, {-1, 0.5, 0.8, -0.2}, {0.1, 0.3, 0.2, 0.05});
}

struct At {
  double alpha, sigma;
};
constexpr At kLevels[] = {{1, 0}, {0.999, 0.045}, {0.6, 0.8}, {1, 5}, {0, 1}};
const Numbers kPoint = {0.3, -0.4};

TEST(GaussianMixture, DensityOfOneComponentIsTheNormals) {
  const GaussianMixture one({2}, {0.5}, {0.25});
  EXPECT_NEAR(one.log_density({1}, 1, 0), -0.5 * (0.25 / 0.25 + std::log(2 * std::numbers::pi * 0.25)), 1e-14);
  const double variance = 0.36 * 0.25 + 0.64;
  EXPECT_NEAR(one.log_density({1}, 0.6, 0.8), -0.5 * (0.49 / variance + std::log(2 * std::numbers::pi * variance)),
              1e-14);
}

// The trapezoidal rule is exact for such functions to all digits once its step is below their width.
TEST(GaussianMixture, DensityIntegratesToOne) {
  for (const At& at : kLevels) {
    const double extent = 6 + 8 * at.sigma, step = 0.15 + 0.3 * at.sigma;
    double sum = 0;
    for (double x = -extent; x <= extent; x += step)
      for (double y = -extent; y <= extent; y += step)
        sum += std::exp(mixture().log_density({x, y}, at.alpha, at.sigma)) * step * step;
    EXPECT_NEAR(sum, 1, 1e-8) << at.alpha << " " << at.sigma;
  }
}

TEST(GaussianMixture, ScoreIsTheSlopeOfTheDensity) {
  const double step = 1e-5;
  for (const At& at : kLevels) {
    const Numbers score = mixture().score(kPoint, at.alpha, at.sigma);
    for (size_t j = 0; j < kPoint.size(); ++j) {
      Numbers above = kPoint, below = kPoint;
      above[j] += step, below[j] -= step;
      const double slope =
          (mixture().log_density(above, at.alpha, at.sigma) - mixture().log_density(below, at.alpha, at.sigma)) /
          (2 * step);
      EXPECT_NEAR(score[j], slope, 1e-8 * (1 + std::fabs(slope))) << at.alpha << " " << at.sigma;
    }
  }
}

TEST(GaussianMixture, EstimatesAddUpToTheState) {
  for (const At& at : kLevels) {
    const Numbers x0 = mixture().expected_x0(kPoint, at.alpha, at.sigma),
                  eps = mixture().expected_eps(kPoint, at.alpha, at.sigma);
    for (size_t j = 0; j < kPoint.size(); ++j)
      EXPECT_NEAR(at.alpha * x0[j] + at.sigma * eps[j], kPoint[j], 1e-14) << at.alpha << " " << at.sigma;
  }
  const Numbers own = mixture().expected_x0(kPoint, 1, 0), blind = mixture().expected_x0(kPoint, 0, 1),
                mean = mixture().mean();
  for (size_t j = 0; j < mean.size(); ++j) {
    EXPECT_NEAR(own[j], kPoint[j], 1e-15) << "data are their own estimate";
    EXPECT_NEAR(blind[j], mean[j], 1e-15) << "noise says nothing of the data";
  }
}

TEST(GaussianMixture, MomentsAreThoseOfTheComponents) {
  const Numbers mean = mixture().mean(), variance = mixture().variance();
  EXPECT_NEAR(mean[0], -0.25 + 0.75 * 0.8, 1e-15);
  EXPECT_NEAR(mean[1], 0.125 - 0.75 * 0.2, 1e-15);
  EXPECT_NEAR(variance[0], 0.25 * (0.1 + 1) + 0.75 * (0.2 + 0.64) - mean[0] * mean[0], 1e-15);
  EXPECT_NEAR(variance[1], 0.25 * (0.3 + 0.25) + 0.75 * (0.05 + 0.04) - mean[1] * mean[1], 1e-15);
}

// A draw's sum of squares about the mean has a finite fourth moment; five standard errors of 40,000 draws.
TEST(GaussianMixture, DrawsHaveTheMoments) {
  constexpr int kDraws = 40000;
  const Numbers mean = mixture().mean(), variance = mixture().variance();
  Numbers sum(2), squares(2), fourth(2);
  double product = 0;
  for (uint32_t i = 0; i < kDraws; ++i) {
    const Numbers x = mixture().sample(7, i);
    for (size_t j = 0; j < 2; ++j) {
      const double off = x[j] - mean[j];
      sum[j] += off / kDraws, squares[j] += off * off / kDraws, fourth[j] += std::pow(off, 4) / kDraws;
    }
    product += (x[0] - mean[0]) * (x[1] - mean[1]) / kDraws;
  }
  for (size_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(sum[j], 0, 5 * std::sqrt(variance[j] / kDraws));
    EXPECT_NEAR(squares[j], variance[j], 5 * std::sqrt((fourth[j] - variance[j] * variance[j]) / kDraws));
  }
  // Of the components' means alone: within a component the numbers are independent.
  const double covariance = 0.25 * (-1 - mean[0]) * (0.5 - mean[1]) + 0.75 * (0.8 - mean[0]) * (-0.2 - mean[1]);
  EXPECT_NEAR(product, covariance, 5 * std::sqrt(fourth[0] * fourth[1]) / std::sqrt(kDraws) + 1e-3);
  EXPECT_EQ(mixture().sample(7, 3), mixture().sample(7, 3));
  EXPECT_NE(mixture().sample(7, 3), mixture().sample(7, 4));
  EXPECT_NE(mixture().sample(7, 3), mixture().sample(8, 3));
}

TEST(GaussianMixture, RefusesWhatIsNone) {
  EXPECT_THROW(GaussianMixture({}, {}, {}), Error);
  EXPECT_THROW(GaussianMixture({1, 1}, {0, 0, 0}, {1, 1, 1}), Error);
  EXPECT_THROW(GaussianMixture({1}, {0, 0}, {1}), Error);
  EXPECT_THROW(GaussianMixture({1}, {0}, {0}), Error);
  EXPECT_THROW(GaussianMixture({1, 0}, {0, 1}, {1, 1}), Error);
  EXPECT_THROW(mixture().log_density({1}, 1, 0), Error);
}

}  // namespace
}  // namespace ito
