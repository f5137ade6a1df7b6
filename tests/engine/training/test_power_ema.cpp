// SPDX-License-Identifier: Apache-2.0
// Power-function averages: their widths against the moments of the profile, inner products against sums, the average of
// any width found from kept ones against the same average made step by step in fp64; and the words that name averages.
#include "engine/training/power_ema.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/training/ema_list.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

// gamma of the published widths (Karras et al. 2024), and the profile's standard deviation by its moments
// (gamma + 1) / (gamma + 2) and (gamma + 1) / (gamma + 3).
TEST(PowerEma, WidthsAreThePublishedOnes) {
  EXPECT_NEAR(gamma_of_width(0.05), 16.97, 0.005);
  EXPECT_NEAR(gamma_of_width(0.10), 6.94, 0.005);
  for (const double width : {kLeastWidth, 0.05, 0.1, 0.2, kMostWidth}) {
    const double g = gamma_of_width(width), mean = (g + 1) / (g + 2), square = (g + 1) / (g + 3);
    EXPECT_NEAR(std::sqrt(square - mean * mean), width, 1e-9 * width) << g;
    EXPECT_NEAR(width_of_gamma(g), width, 1e-14);
  }
}

// The midpoint rule with n cells is off by less than (4 / n)^2 of these integrands, whose powers are below 4.
TEST(PowerEma, InnerProductsAreIntegrals) {
  const auto profile = [](const PowerProfile& p, double tau) {
    return tau > p.updates ? 0 : (p.gamma + 1) * std::pow(tau / p.updates, p.gamma) / p.updates;
  };
  for (const PowerProfile a : {PowerProfile{0.5, 10}, PowerProfile{3, 7}})
    for (const PowerProfile b : {PowerProfile{2, 10}, PowerProfile{1.25, 4}}) {
      const int n = 4000;
      const double end = std::min(a.updates, b.updates);
      double sum = 0;
      for (int i = 0; i < n; ++i) sum += profile(a, (i + 0.5) * end / n) * profile(b, (i + 0.5) * end / n) * end / n;
      EXPECT_NEAR(inner_product(a, b), sum, 16.0 / n / n * 16);
      EXPECT_DOUBLE_EQ(inner_product(a, b), inner_product(b, a));
    }
}

// A scalar weight's average over the first `updates` steps, by the recursion of training.
double average(const std::vector<double>& weights, double gamma, int updates) {
  double ema = 0;
  for (int t = 1; t <= updates; ++t) {
    const double decay = std::pow(1 - 1.0 / t, gamma + 1);
    ema = decay * ema + (1 - decay) * weights[t - 1];
  }
  return ema;
}

TEST(PowerEma, AKeptProfileComesBackAsItself) {
  std::vector<PowerProfile> kept;
  for (const double width : {0.05, 0.10})
    for (int t = 25; t <= 200; t += 25) kept.push_back({gamma_of_width(width), static_cast<double>(t)});
  kept.push_back(kept[3]);  // kept twice, where every step between was skipped
  for (size_t wanted = 0; wanted < 16; ++wanted) {
    const Reconstruction found = reconstruct_profile(kept, kept[wanted]);
    for (size_t i = 0; i < kept.size(); ++i) EXPECT_NEAR(found.coefficients[i], i == wanted ? 1 : 0, 1e-9) << wanted;
    EXPECT_LT(found.error, 1e-6);
  }
}

// Any width between the kept ones, of a weight that drifts and swings: the found average is off from the one made step
// by step by at most the profiles' distance times the weights' (Cauchy and Schwarz), and that distance shrinks as more
// is kept. A step's cell, over which the profile is not flat, adds less than a step's swing.
TEST(PowerEma, AnyWidthIsFoundAfterwards) {
  const int steps = 2000;
  std::vector<double> weights;
  for (int t = 0; t < steps; ++t) weights.push_back(std::sin(0.01 * t) + 1e-3 * t);
  double mean_square = 0;
  for (const double w : weights) mean_square += w * w;
  for (const double width : {0.06, 0.075, 0.15}) {
    double before = INFINITY;
    for (const int every : {500, 100, 50}) {
      std::vector<PowerProfile> kept;
      for (const double of : {0.05, 0.10})
        for (int t = every; t <= steps; t += every) kept.push_back({gamma_of_width(of), static_cast<double>(t)});
      const PowerProfile wanted{gamma_of_width(width), steps};
      const Reconstruction found = reconstruct_profile(kept, wanted);
      double sum = 0;
      for (size_t i = 0; i < kept.size(); ++i)
        sum += found.coefficients[i] * average(weights, kept[i].gamma, static_cast<int>(kept[i].updates));
      const double bound = found.error * std::sqrt(inner_product(wanted, wanted) * mean_square);
      EXPECT_LT(std::fabs(sum - average(weights, wanted.gamma, steps)), bound + 0.011) << width << ", " << every;
      EXPECT_LT(found.error, before) << width;
      before = found.error;
    }
    EXPECT_LT(before, 0.02) << width;
  }
}

TEST(PowerEma, AveragesByName) {
  const std::vector<NamedEma> emas = emas_of("0.9990,sigma-rel-0.050,0.5", 0.9, "--ema");
  EXPECT_EQ(text_of(emas), "0.999,sigma-rel-0.05,0.5");
  EXPECT_EQ(emas[0].profile.max_decay, 0.999f);
  EXPECT_EQ(emas[0].profile.power, 0);
  EXPECT_EQ(emas[1].sigma_rel, 0.05);
  EXPECT_NEAR(emas[1].profile.power, 17.97, 0.005);
  EXPECT_EQ(text_of(emas_of("", 0.9999, "--ema")), "0.9999");
  OptimizerSettings settings;
  set_emas(settings, emas);
  EXPECT_EQ(settings.ema_count, 3);
  EXPECT_EQ(settings.emas[2].max_decay, 0.5f);
  const auto refused = [](const char* text) { return user_error([&] { emas_of(text, 0.9, "--ema"); }); };
  EXPECT_EQ(refused("1"), "--ema 1: expected a decay in [0, 1), or sigma-rel-1 for a power function of that width");
  EXPECT_EQ(refused("sigma-rel-0.29"), "--ema sigma-rel-0.29: expected a width of 0.001 to 0.28");
  for (const char* none : {"0.9,", "nan", "sigma-rel-", "0.9 "})
    EXPECT_NE(refused(none).find(" is no moving average; expected decays and widths, as in 0.9999,sigma-rel-0.05"),
              std::string::npos)
        << none;
  EXPECT_EQ(refused("0.9,0.90"), "--ema 0.9,0.90: 0.9 stands twice; expected once");
  EXPECT_EQ(refused("0.1,0.2,0.3,0.4,0.5"), "--ema 0.1,0.2,0.3,0.4,0.5: 5 moving averages; expected at most 4");
}

}  // namespace
}  // namespace ito::test
