// SPDX-License-Identifier: Apache-2.0
// Grids of timesteps and levels: published entries, ties, and that every count is well formed.
#include "engine/samplers/grids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

TEST(Timesteps, PublishedGrids) {
  const auto grid = [](TimestepSpacing spacing, int count) { return spaced_timesteps(spacing, 1000, count, 0); };
  EXPECT_EQ(grid(TimestepSpacing::Leading, 10), (std::vector{900, 800, 700, 600, 500, 400, 300, 200, 100, 0}));
  EXPECT_EQ(grid(TimestepSpacing::Linspace, 10), (std::vector{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}));
  EXPECT_EQ(grid(TimestepSpacing::Trailing, 10), (std::vector{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}));
  EXPECT_EQ(grid(TimestepSpacing::Leading, 7), (std::vector{852, 710, 568, 426, 284, 142, 0}));
  // 832.5, 499.5 and 166.5 are ties: to even.
  EXPECT_EQ(grid(TimestepSpacing::Linspace, 7), (std::vector{999, 832, 666, 500, 333, 166, 0}));
  EXPECT_EQ(grid(TimestepSpacing::Trailing, 7), (std::vector{999, 856, 713, 570, 428, 285, 142}));
  EXPECT_EQ(grid(TimestepSpacing::Trailing, 16),
            (std::vector{999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61}));
  EXPECT_EQ(grid(TimestepSpacing::Linspace, 1), std::vector{0});
  EXPECT_EQ(grid(TimestepSpacing::Trailing, 1), std::vector{999});
  EXPECT_EQ(spaced_timesteps(TimestepSpacing::Leading, 1000, 3, 1), (std::vector{667, 334, 1}));
  EXPECT_EQ(spaced_timesteps(TimestepSpacing::Trailing, 1000, 2, 1), (std::vector{999, 499}));  // no offset here
}

// Every count gives exactly that many timesteps, strictly descending and all in range (the published float range of
// trailing does not: 61 steps would be 62); the full grid is the same under every spacing.
TEST(Timesteps, EveryCountIsWellFormed) {
  for (const TimestepSpacing spacing :
       {TimestepSpacing::Leading, TimestepSpacing::Linspace, TimestepSpacing::Trailing}) {
    for (int count = 1; count <= 1000; ++count) {
      const std::vector<int> grid = spaced_timesteps(spacing, 1000, count, 0);
      ASSERT_EQ(grid.size(), static_cast<size_t>(count));
      ASSERT_TRUE(std::is_sorted(grid.begin(), grid.end(), std::greater_equal<>())) << name_of(spacing) << " " << count;
      ASSERT_GE(grid.back(), 0);
      ASSERT_LT(grid.front(), 1000);
    }
    const std::vector<int> full = spaced_timesteps(spacing, 1000, 1000, 0);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(full[i], 999 - i) << name_of(spacing);
  }
}

TEST(Timesteps, Refusals) {
  const auto refused = [](int count, int offset) {
    return user_error([&] { spaced_timesteps(TimestepSpacing::Leading, 1000, count, offset); });
  };
  EXPECT_NE(refused(0, 0), "");
  EXPECT_NE(refused(1001, 0).find("1001; expected 1 to 1000"), std::string::npos);
  EXPECT_NE(refused(1000, 1).find("timestep 1000"), std::string::npos);
  EXPECT_EQ(refused(999, 1), "");
}

// Rounded linspace of count + 1 without the smallest, and the same of leading; trailing is that of count.
TEST(Timesteps, AboveTheSmallest) {
  const auto grid = [](TimestepSpacing spacing, int count, int offset = 0) {
    return timesteps_above_smallest(spacing, 1000, count, offset);
  };
  EXPECT_EQ(grid(TimestepSpacing::Linspace, 10), (std::vector{999, 899, 799, 699, 599, 500, 400, 300, 200, 100}));
  EXPECT_EQ(grid(TimestepSpacing::Linspace, 6), (std::vector{999, 832, 666, 500, 333, 166}));  // 832.5 to even
  EXPECT_EQ(grid(TimestepSpacing::Leading, 9), (std::vector{900, 800, 700, 600, 500, 400, 300, 200, 100}));
  EXPECT_EQ(grid(TimestepSpacing::Leading, 3, 1), (std::vector{751, 501, 251}));
  EXPECT_EQ(grid(TimestepSpacing::Trailing, 4), (std::vector{999, 749, 499, 249}));
  for (int count = 1; count <= 1000; ++count) {
    const std::vector<int> all = grid(TimestepSpacing::Linspace, count);
    ASSERT_EQ(all.front(), 999);
    ASSERT_GE(all.back(), 1) << count;
  }
}

TEST(Timesteps, RealOnesAreNotRounded) {
  const std::vector<double> real = real_timesteps(TimestepSpacing::Linspace, 1000, 7, 0);
  ASSERT_EQ(real.size(), 7u);
  EXPECT_DOUBLE_EQ(real[1], 832.5);
  EXPECT_EQ(real.back(), 0);
  EXPECT_EQ(real_timesteps(TimestepSpacing::Leading, 1000, 4, 1), (std::vector<double>{751, 501, 251, 1}));
}

TEST(Grids, KarrasRatiosEndWhereTheyAreTold) {
  const std::vector<double> sigmas = karras_sigmas(80, 0.002, 18);
  ASSERT_EQ(sigmas.size(), 18u);
  EXPECT_NEAR(sigmas.front(), 80, 1e-12);
  EXPECT_NEAR(sigmas.back(), 0.002, 1e-15);
  // Point 9 of Karras et al. 2022, eq. 5, rho 7.
  const double root = std::pow(80, 1 / 7.0) + 9 / 17.0 * (std::pow(0.002, 1 / 7.0) - std::pow(80, 1 / 7.0));
  EXPECT_NEAR(sigmas[9] / std::pow(root, 7), 1, 1e-14);
  EXPECT_EQ(karras_sigmas(5, 1, 1), std::vector<double>{5});
}

TEST(Grids, KarrasLevelsKeepTheirRatioAndRoundTheirTime) {
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  GridSettings settings{.kind = GridKind::AboveSmallest, .spacing = TimestepSpacing::Linspace, .count = 16};
  settings.karras = true;
  const std::vector<double> sigmas = karras_sigmas(levels.at(999).s(), levels.at(0).s(), 16);
  std::vector<Level> nodes = grid_levels(levels, settings);
  ASSERT_EQ(nodes.size(), 16u);
  bool cut = false;
  const auto real_time = [&](size_t i) { return levels.of_s(sigmas[i]).time; };
  for (size_t i = 0; i < nodes.size(); ++i) {
    EXPECT_NEAR(nodes[i].s() / sigmas[i], 1, 1e-14);
    EXPECT_EQ(nodes[i].time, std::nearbyint(real_time(i)));
    cut = cut || nodes[i].time != std::floor(real_time(i));
  }
  EXPECT_TRUE(cut) << "no time here tells rounding from truncation";
  settings.truncated = true;
  nodes = grid_levels(levels, settings);
  for (size_t i = 0; i < nodes.size(); ++i) EXPECT_EQ(nodes[i].time, std::floor(real_time(i)));

  // A real grid's ratios run between its own ends, and its times stay real.
  settings = {.kind = GridKind::Real, .spacing = TimestepSpacing::Leading, .count = 5};
  settings.karras = true;
  nodes = grid_levels(levels, settings);
  EXPECT_NEAR(nodes.front().s() / levels.at(800).s(), 1, 1e-14);
  EXPECT_NEAR(nodes.back().s() / levels.at(0).s(), 1, 1e-12);
  EXPECT_NE(nodes[1].time, std::nearbyint(nodes[1].time));
}

// Between the schedule's own ends, or those that are told, which must be the schedule's levels.
TEST(Grids, KarrasKindEndsWhereItIsTold) {
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  GridSettings settings{.kind = GridKind::Karras, .count = 18};
  std::vector<Level> nodes = grid_levels(levels, settings);
  ASSERT_EQ(nodes.size(), 18u);
  EXPECT_NEAR(nodes.front().s() / levels.at(999).s(), 1, 1e-12);
  EXPECT_NEAR(nodes.back().s() / levels.at(0).s(), 1, 1e-12);
  settings.high = 80, settings.low = 0.02;
  nodes = grid_levels(levels, settings);
  const std::vector<double> sigmas = karras_sigmas(80, 0.02, 18);
  for (size_t i = 0; i < nodes.size(); ++i) {
    EXPECT_NEAR(nodes[i].s() / sigmas[i], 1, 1e-12) << i;
    EXPECT_EQ(nodes[i].time, levels.of_s(sigmas[i]).time) << i;
  }
  settings.high = 200;
  EXPECT_EQ(user_error([&] { grid_levels(levels, settings); }),
            "sampling levels: sigma_max 200; expected 0.0100005 to 157.407, the levels the model was trained on");
  settings.high = 157.407, settings.low = 0.002;
  EXPECT_NE(user_error([&] { grid_levels(levels, settings); }).find("sigma_min 0.002"), std::string::npos);
  settings.high = 0.1, settings.low = 0.2;
  EXPECT_EQ(user_error([&] { grid_levels(levels, settings); }),
            "sampling levels: sigma_min 0.2 is above sigma_max 0.1");
  settings.count = 0;
  EXPECT_EQ(user_error([&] { grid_levels(levels, settings); }), "sampling steps: 0; expected at least 1");
}

TEST(Grids, SineSquaredStartsAtTheScheduleNotAbove) {
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  for (const int count : {1, 2, 9, 1000}) {
    const std::vector<Level> nodes = grid_levels(levels, {.kind = GridKind::SineSquared, .count = count});
    ASSERT_EQ(nodes.size(), static_cast<size_t>(count));
    EXPECT_EQ(nodes[0].time, 999);
    for (int i = 0; i < count; ++i) {
      const double sigma = std::pow(std::sin(std::acos(0.0) * (count - i) / count), 2);
      EXPECT_NEAR(nodes[i].sigma, std::min(sigma, levels.at(999).sigma), 1e-12) << i << " of " << count;
    }
  }
  EXPECT_NE(user_error([&] { grid_levels(levels, {.kind = GridKind::SineSquared, .count = 0}); }), "");
}

}  // namespace
}  // namespace ito::test
