// SPDX-License-Identifier: Apache-2.0
// Quantities, levels and the reading of a network's answer, against their definitions. A quantity that is added to the
// table is in every loop here; only its definition has to be written once more, in defined().
#include "engine/diffusion/reading.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/diffusion/forward_rows.h"
#include "engine/diffusion/levels.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kX0 = 0.37, kEps = -1.21;
constexpr double kAbars[] = {0.9999, 0.9, 0.5, 0.0785872, 4.03583e-5};

Level level_of(double abar) {
  return {.time = 7,
          .alpha = std::sqrt(abar),
          .sigma = std::sqrt(1 - abar),
          .abar = abar,
          .previous = abar + 0.5 * (1 - abar)};
}

StateAt at(const Level& level) {
  return {level.alpha, level.sigma, level.previous};
}

// The definitions, from the papers and not from the table.
double defined(Quantity quantity, double x0, double eps, const Level& level) {
  const std::string name(name_of(quantity));
  if (name == "epsilon") return eps;
  if (name == "sample") return x0;
  if (name == "v_prediction") return level.alpha * eps - level.sigma * x0;
  if (name == "score") return -eps / level.sigma;
  if (name == "flow_prediction") return eps - x0;
  if (name == "mean") {
    const Posterior q = gaussian_posterior(level.abar, level.previous);
    return q.from_x0 * x0 + q.from_x * (level.alpha * x0 + level.sigma * eps);
  }
  ADD_FAILURE() << "write the definition of " << name << " here";
  return std::numeric_limits<double>::quiet_NaN();
}

// Each pair there and back. A conversion divides by alpha, sigma or both, and the values themselves reach 1 / sigma
// (the score): the bound is a few roundings of numbers of that size.
TEST(Quantity, EveryPairThereAndBack) {
  for (const double abar : kAbars) {
    const Level level = level_of(abar);
    const double a = level.alpha, s = level.sigma, x = a * kX0 + s * kEps, tolerance = 32 * kEpsilon / (a * s * s);
    for (const Quantity from : Quantity::all()) {
      const double given = defined(from, kX0, kEps, level);
      EXPECT_TRUE(is_determined(from, at(level)));
      for (const Quantity to : Quantity::all()) {
        const Conversion there = conversion(from, to, at(level)), back = conversion(to, from, at(level));
        const double got = there.from_x * x + there.from_given * given;
        EXPECT_NEAR(got, defined(to, kX0, kEps, level), tolerance)
            << name_of(from) << " to " << name_of(to) << " at abar " << abar;
        EXPECT_NEAR(back.from_x * x + back.from_given * got, given, tolerance)
            << name_of(to) << " back to " << name_of(from) << " at abar " << abar;
      }
    }
  }
}

// At abar 0, x is eps: v = -x0, flow = x - x0, and eps and score say nothing of x0.
TEST(Quantity, PureNoiseHidesX0FromEpsAndScoreOnly) {
  for (const Quantity quantity : Quantity::all()) {
    const bool hidden = quantity == Quantity::epsilon() || name_of(quantity) == "score";
    EXPECT_EQ(is_determined(quantity, at(level_of(0))), !hidden) << name_of(quantity);
    if (hidden) {
      EXPECT_THROW(conversion(quantity, Quantity::x0(), at(level_of(0))), Error);
      continue;
    }
    const Conversion x0 = conversion(quantity, Quantity::x0(), at(level_of(0)));
    EXPECT_NEAR(x0.from_x * kEps + x0.from_given * defined(quantity, kX0, kEps, level_of(0)), kX0, 8 * kEpsilon);
    const Conversion eps = conversion(quantity, Quantity::epsilon(), at(level_of(0)));
    EXPECT_EQ(eps.from_x * kEps + eps.from_given * defined(quantity, kX0, kEps, level_of(0)), kEps);
  }
  EXPECT_FALSE(is_determined(Quantity::x0(), StateAt{1, 0}));
  EXPECT_THROW(conversion(Quantity::epsilon(), Quantity::x0(), StateAt{1, 0}), Error);
}

TEST(Levels, WholeTimesAreTheSchedules) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  const Levels levels(schedule);
  ASSERT_EQ(levels.steps(), 1000);
  for (const int timestep : {0, 1, 500, 999}) {
    const Level level = levels.at(timestep);
    const double abar = schedule.abar(Step::from_timestep(timestep));
    EXPECT_EQ(level.time, timestep);
    EXPECT_EQ(level.abar, abar);
    EXPECT_EQ(level.alpha, std::sqrt(abar));
    EXPECT_EQ(level.sigma, std::sqrt(1 - abar));
    EXPECT_NEAR(level.s() / std::sqrt((1 - abar) / abar), 1, 4 * kEpsilon);
    EXPECT_NEAR(level.lambda(), -std::log(level.s()), 8 * kEpsilon);
  }
  const Level clean = levels.at(-1);
  EXPECT_EQ(clean.alpha, 1);
  EXPECT_EQ(clean.sigma, 0);
  EXPECT_EQ(clean.s(), 0);
  for (const double time : {-2.0, -0.5, 999.5, 1000.0}) EXPECT_THROW(levels.at(time), Error) << time;
}

// s is linear between timesteps, and a level of the interpolated s is back at a time that is linear in ln s.
TEST(Levels, BetweenTimesteps) {
  const Levels levels{NoiseSchedule{SchedulerConfig{}}};
  for (const int below : {0, 41, 998}) {
    const double low = levels.at(below).s(), high = levels.at(below + 1).s();
    const Level level = levels.at(below + 0.25);
    EXPECT_EQ(level.time, below + 0.25);
    EXPECT_NEAR(level.s() / (0.75 * low + 0.25 * high), 1, 8 * kEpsilon) << below;
    EXPECT_NEAR(level.alpha * level.alpha + level.sigma * level.sigma, 1, 4 * kEpsilon) << below;
    EXPECT_NEAR(level.abar, level.alpha * level.alpha, 4 * kEpsilon) << below;
    const double s = std::pow(low, 0.7) * std::pow(high, 0.3);
    // The logarithms' difference is about 0.005 where the table is dense.
    EXPECT_NEAR(levels.of_s(s).time, below + 0.3, 1e-11) << below;
    EXPECT_NEAR(levels.of_s(s).s() / s, 1, 4 * kEpsilon) << below;
    EXPECT_NEAR(levels.of_s(low).time, below, 1e-11) << below;
  }
  for (const auto& [s, time] : {std::pair{0.0, 0.0}, {1e-4, 0.0}, {1e6, 999.0}}) {
    EXPECT_EQ(levels.of_s(s).time, time) << s;
    EXPECT_NEAR(levels.of_s(s).s(), s, 4 * kEpsilon * s) << s;
  }
  EXPECT_THROW(levels.of_s(-1), Error);
}

TEST(Levels, ZeroTerminalSnr) {
  SchedulerConfig config;
  config.rescale_betas_zero_snr = true;
  const NoiseSchedule schedule(config);
  const Levels exact(schedule), bounded(schedule, kTerminalAbar);
  EXPECT_EQ(exact.at(999).alpha, 0);
  EXPECT_EQ(exact.at(999).sigma, 1);
  EXPECT_TRUE(std::isinf(exact.at(999).s()));
  EXPECT_EQ(exact.of_s(exact.at(999).s()).alpha, 0);
  EXPECT_NEAR(bounded.at(999).s(), 4096, 1e-3);  // diffusers' largest sigma
  EXPECT_EQ(bounded.of_s(bounded.at(999).s()).time, 999);
  EXPECT_EQ(bounded.at(998).abar, exact.at(998).abar);
  EXPECT_NEAR(bounded.of_s(bounded.at(500).s()).time, 500, 1e-11);
}

// A perfect answer is read as the very x0 and eps, in both spaces and at every level.
TEST(Reading, APerfectAnswerGivesX0AndEps) {
  for (const double abar : kAbars) {
    const Level level = level_of(abar);
    const double x = level.alpha * kX0 + level.sigma * kEps, y = kX0 + level.s() * kEps;
    const double tolerance = 32 * kEpsilon / (level.alpha * level.sigma * level.sigma);
    for (const Quantity quantity : Quantity::all()) {
      const Reading reading(quantity);
      const Target target = reading.target(level);
      const double answer = defined(quantity, kX0, kEps, level);
      if (quantity != Quantity::mean()) {  // what is learned of it is a draw: see below
        EXPECT_NEAR(target.x0 * kX0 + target.eps * kEps, answer, 4 * kEpsilon / level.sigma) << name_of(quantity);
      }
      for (const Space space : {Space::Vp, Space::Sigma}) {
        const CallAt call = reading.call(level, space);
        const double state = space == Space::Vp ? x : y;
        EXPECT_EQ(call.time, level.time);
        EXPECT_NEAR(call.input_scale * state, x, 4 * kEpsilon);
        EXPECT_NEAR(call.x0.from_x * state + call.x0.from_given * answer, kX0, tolerance) << name_of(quantity);
        EXPECT_NEAR(call.eps.from_x * state + call.eps.from_given * answer, kEps, tolerance) << name_of(quantity);
        EXPECT_NEAR(call.eps_from_x0.from_x * state + call.eps_from_x0.from_given * kX0, kEps, tolerance);
      }
    }
  }
}

// sigma-space with input y / sqrt(1 + s^2), as k-diffusion and diffusers write it: eps: x0 = y - s eps;
// v: x0 = y / (1 + s^2) - s / sqrt(1 + s^2) v.
TEST(Reading, SigmaSpaceIsThePublishedForm) {
  const Level level = level_of(0.3);
  const double s = level.s();
  const CallAt eps = Reading(Quantity::epsilon()).call(level, Space::Sigma);
  EXPECT_NEAR(eps.input_scale, 1 / std::sqrt(1 + s * s), 2 * kEpsilon);
  EXPECT_NEAR(eps.x0.from_x, 1, 4 * kEpsilon);
  EXPECT_NEAR(eps.x0.from_given, -s, 8 * kEpsilon);
  const CallAt v = Reading(quantity_of("v_prediction", "")).call(level, Space::Sigma);
  EXPECT_NEAR(v.x0.from_x, 1 / (1 + s * s), 4 * kEpsilon);
  EXPECT_NEAR(v.x0.from_given, -s / std::sqrt(1 + s * s), 4 * kEpsilon);
}

TEST(Reading, TimesOfTheNetwork) {
  const Level level = level_of(0.3);
  const auto time = [&](NetworkTime of) { return Reading(Quantity::epsilon(), of).call(level).time; };
  EXPECT_EQ(time(NetworkTime::Index), 7);
  EXPECT_EQ(time(NetworkTime::Sigma), level.s());
  EXPECT_EQ(time(NetworkTime::LogSigmaQuarter), std::log(level.s()) / 4);
}

// The weight leaves every squared error bounded where the noise vanishes; the score's is then that of eps.
TEST(Reading, WeightsOfTheLoss) {
  const Level level = level_of(0.9999);
  for (const Quantity quantity : Quantity::all()) {
    const Target target = Reading(quantity).target(level);
    const double size = target.weight * (target.x0 * target.x0 + target.eps * target.eps + target.eps2 * target.eps2);
    EXPECT_LE(size, 2 + 4 * kEpsilon) << name_of(quantity);
    EXPECT_GE(size, 1 - 4 * kEpsilon) << name_of(quantity);
    if (name_of(quantity) == "score") {
      EXPECT_EQ(target.weight, level.sigma * level.sigma);
    } else {
      EXPECT_EQ(target.weight, 1) << name_of(quantity);
    }
  }
}

// Every timestep has its row, rounded to fp32 once; an x_t and its target determine the image (at the last timestep
// with zero terminal SNR too, where the target alone does).
TEST(ForwardRows, AreTheLevelsAndTheirTargets) {
  SchedulerConfig config;
  for (const bool zero_snr : {false, true}) {
    config.rescale_betas_zero_snr = zero_snr;
    const NoiseSchedule schedule(config);
    for (const Quantity quantity : Quantity::all()) {
      const std::vector<ForwardRow> rows = forward_rows(Levels(schedule), Reading(quantity));
      ASSERT_EQ(rows.size(), 1000u);
      for (const int timestep : {0, 1, 500, 998, 999}) {
        const ForwardRow& row = rows[timestep];
        const double abar = schedule.abar(Step::from_timestep(timestep));
        const Level level = level_of(abar);
        EXPECT_EQ(row.timestep, timestep);
        EXPECT_EQ(row.level, timestep);
        if (quantity == Quantity::mean()) continue;
        EXPECT_EQ(row.x0, static_cast<float>(std::sqrt(abar)));
        EXPECT_EQ(row.eps, static_cast<float>(std::sqrt(1 - abar)));
        EXPECT_EQ(row.target_x0, static_cast<float>(defined(quantity, 1, 0, level))) << name_of(quantity);
        EXPECT_EQ(row.target_eps, static_cast<float>(defined(quantity, 0, 1, level))) << name_of(quantity);
        EXPECT_EQ(row.eps2, 0);
        EXPECT_EQ(row.target_eps2, 0);
        EXPECT_EQ(row.weight, name_of(quantity) == "score" ? static_cast<float>(level.sigma * level.sigma) : 1);
      }
    }
  }
}

// The reverse mean is learned from a pair of states of one image: x_t has the level's law, and x_{t-1} given x_t and x0
// has the posterior's mean, by regression of jointly normal numbers.
TEST(ForwardRows, TheReverseMeanIsLearnedFromThePairOfStates) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  const Levels levels(schedule);
  for (const int timestep : {0, 1, 500, 999}) {
    const Level level = levels.at(timestep);
    const Target target = Reading(Quantity::mean()).target(level);
    EXPECT_NEAR(target.input_x0, level.alpha, 4 * kEpsilon);
    const double variance = target.input_eps * target.input_eps + target.input_eps2 * target.input_eps2;
    EXPECT_NEAR(variance / (1 - level.abar), 1, 1e-11) << timestep;  // 1 - abar is 1e-4 at the first
    EXPECT_EQ(target.eps, 0);
    EXPECT_NEAR(target.x0 * target.x0 + target.eps2 * target.eps2, 1, 4 * kEpsilon);
    const double slope = target.eps2 * target.input_eps2 / variance;
    const Posterior q = gaussian_posterior(level.abar, level.previous);
    EXPECT_NEAR(slope, q.from_x, 1e-11) << timestep;
    EXPECT_NEAR(target.x0 - slope * level.alpha, q.from_x0, 1e-11) << timestep;
    EXPECT_EQ(level.previous, schedule.abar(Step::from_timestep(timestep).previous()));
  }
}

TEST(Reading, RefusesWhatDeterminesNoImage) {
  try {
    Reading(Quantity::epsilon()).call(level_of(0));
    ADD_FAILURE() << "an eps network at pure noise was read";
  } catch (const UserError& e) {
    EXPECT_EQ(
        std::string(e.what()),
        "sampling: timestep 7 is pure noise (rescale_betas_zero_snr), where prediction_type epsilon determines no "
        "image; use timestep_spacing leading, or a model with prediction_type sample or v_prediction or "
        "flow_prediction or mean");
  }
  EXPECT_THROW(Reading(quantity_of("v_prediction", "")).call(level_of(1)), Error);
}

}  // namespace
}  // namespace ito
