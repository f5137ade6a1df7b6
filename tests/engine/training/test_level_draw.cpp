// SPDX-License-Identifier: Apache-2.0
// The chances of the levels against integrals of the published densities, and which draw a family usually has.
#include "engine/training/level_draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

Levels levels_of(Family family, int steps) {
  SchedulerConfig config;
  config.family = family;
  config.num_train_timesteps = steps;
  return Levels(NoiseSchedule(config));
}

LevelDrawChoice draw(const std::string& text, Family family = Family::Vp) {
  return level_draw_of(text, family, "--timestep-sampling");
}

double integral(const std::function<double(double)>& f, double from, double to) {
  constexpr int kParts = 2000;  // Simpson's rule: 1e-12 for these
  double sum = 0;
  const double h = (to - from) / kParts;
  for (int i = 0; i <= kParts; ++i) sum += f(from + i * h) * (i == 0 || i == kParts ? 1 : i % 2 ? 4 : 2);
  return sum * h / 3;
}

double normal_density(double x, double mean, double std) {
  return std::exp(-(x - mean) * (x - mean) / (2 * std * std)) / (std * std::sqrt(2 * M_PI));
}

void expect_sum_of_one(const std::vector<double>& chances) {
  EXPECT_EQ(std::accumulate(chances.begin(), chances.end(), 0.0), 1);  // whole counts of 2^-32: exact
}

TEST(LevelDraw, UniformIsUniform) {
  const Levels levels = levels_of(Family::Vp, 8);
  for (const LevelDrawChoice& choice : {LevelDrawChoice(), draw("uniform"), draw("importance")}) {
    EXPECT_TRUE(choice.thresholds(levels).empty());
    EXPECT_EQ(choice.chances(levels), std::vector<double>(8, 0.125));
  }
  EXPECT_TRUE(draw("importance").learns());
  EXPECT_EQ(draw("importance:uniform=0.25").uniform_share(), 0.25);
}

// A chance is rounded to a whole count of 2^-32 at both its ends.
TEST(LevelDraw, LogitNormalIsTheIntegralOfItsDensity) {
  for (const auto& [text, mean, std] :
       {std::tuple{"logit-normal", 0.0, 1.0}, {"logit-normal:mean=-0.5,std=0.6", -0.5, 0.6}}) {
    const std::vector<double> chances = draw(text).chances(levels_of(Family::Flow, 10));
    ASSERT_EQ(chances.size(), 10u);
    expect_sum_of_one(chances);
    const auto density = [&, m = mean, s = std](double u) {
      return u <= 0 || u >= 1 ? 0 : normal_density(std::log(u / (1 - u)), m, s) / (u * (1 - u));
    };
    for (int i = 0; i < 10; ++i)
      EXPECT_NEAR(chances[i], integral(density, i / 10.0, (i + 1) / 10.0), 0x1p-32 + 1e-9) << text << " " << i;
  }
}

TEST(LevelDraw, LogNormalIsTheIntegralOfItsDensity) {
  for (const Family family : {Family::Edm, Family::Vp, Family::Ve}) {
    const Levels levels = levels_of(family, 40);
    const std::vector<double> chances = draw("log-normal").chances(levels);
    expect_sum_of_one(chances);
    const auto log_s = [&](int i) { return std::log(levels.at(i).s()); };
    for (int i = 0; i < 40; ++i) {
      const double from = i == 0 ? -14 : (log_s(i - 1) + log_s(i)) / 2,
                   to = i == 39 ? 12 : (log_s(i) + log_s(i + 1)) / 2;
      EXPECT_NEAR(chances[i], integral([](double x) { return normal_density(x, -1.2, 1.2); }, from, to), 0x1p-32 + 1e-9)
          << name_of(family) << " " << i;
    }
  }
}

TEST(LevelDraw, PureNoiseIsNotDrawnLogNormally) {
  const std::vector<double> chances = draw("log-normal").chances(levels_of(Family::Flow, 10));
  EXPECT_EQ(chances[9], 0);
  EXPECT_GT(chances[8], 0);
  expect_sum_of_one(chances);
  EXPECT_EQ(draw("log-normal").chances(levels_of(Family::Vp, 1)), std::vector<double>{1});
  EXPECT_EQ(draw("logit-normal").chances(levels_of(Family::Vp, 1)), std::vector<double>{1});
}

TEST(LevelDraw, EveryFamilyHasItsUsualOne) {
  EXPECT_EQ(draw("", Family::Edm).text(), "log-normal:mean=-1.2,std=1.2");
  EXPECT_EQ(draw("", Family::Flow).text(), "logit-normal:mean=0,std=1");
  for (const Family family : {Family::Vp, Family::VpSde, Family::SubVp, Family::Ve})
    EXPECT_EQ(draw("", family).text(), "uniform");
  EXPECT_EQ(draw("uniform", Family::Edm).text(), "uniform");
  EXPECT_EQ(LevelDrawChoice().text(), "uniform");
  EXPECT_EQ(usual_level_draws(), "logit-normal for family flow, log-normal for family edm, uniform for the others");
}

TEST(LevelDraw, WordsAndRefusals) {
  const auto refusal = [](const std::string& text) { return user_error([&] { draw(text); }); };
  EXPECT_EQ(refusal("logitnormal"),
            "--timestep-sampling: 'logitnormal' is not known; use one of 'uniform', 'importance', 'logit-normal', "
            "'log-normal'; did you mean 'logit-normal'?");
  EXPECT_EQ(refusal("log-normal:std=0"), "--timestep-sampling log-normal: std is 0; expected 0.001 to 1000");
  EXPECT_EQ(refusal("uniform:mean=1"), "--timestep-sampling uniform: has no number 'mean'; it has none");
}

}  // namespace
}  // namespace ito::test
