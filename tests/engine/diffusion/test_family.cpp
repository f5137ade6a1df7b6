// SPDX-License-Identifier: Apache-2.0
// Families of forward processes: their closed forms and inverses, their levels, files, and how their networks are read.
#include "engine/diffusion/family.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/diffusion/forward_rows.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

constexpr double kEpsilon = 0x1p-52;
constexpr Family kFamilies[] = {Family::Vp, Family::VpSde, Family::SubVp, Family::Ve, Family::Edm, Family::Flow};

Process process_of(Family family) {
  return {.family = family, .beta_min = 0.1, .beta_max = 20, .sigma_min = 0.01, .sigma_max = 50};
}

SchedulerConfig config_of(Family family) {
  SchedulerConfig config;
  config.family = family;
  return config;
}

TEST(Family, NamesAndClasses) {
  for (const Family family : kFamilies) EXPECT_EQ(family_of(name_of(family), ""), family);
  EXPECT_EQ(user_error([] { family_of("edn", "x.json"); }),
            "x.json: family 'edn' is not known; use one of 'vp', 'vp-sde', 'sub-vp', 've', 'edm', 'flow'; did you mean "
            "'edm'?");
  EXPECT_EQ(family_of_class("DDPMScheduler"), Family::Vp);
  EXPECT_EQ(family_of_class("EDMEulerScheduler"), Family::Edm);
  EXPECT_EQ(family_of_class("FlowMatchHeunDiscreteScheduler"), Family::Flow);
  EXPECT_EQ(family_of_class("ScoreSdeVeScheduler"), Family::Ve);
}

// Each mixing has the ratio it was asked for, and its family's second equation.
TEST(Family, MixingsHaveTheirRatio) {
  for (const double s : {0.002, 0.3, 1.0, 80.0}) {
    for (const Family family : kFamilies) {
      const Mixing m = mixing(family, s);
      EXPECT_NEAR(m.sigma / m.alpha / s, 1, 4 * kEpsilon) << name_of(family);
    }
    const Mixing vp = mixing(Family::Vp, s), sub = mixing(Family::SubVp, s), flow = mixing(Family::Flow, s);
    EXPECT_NEAR(vp.alpha * vp.alpha + vp.sigma * vp.sigma, 1, 4 * kEpsilon);
    EXPECT_NEAR(sub.alpha * sub.alpha + sub.sigma, 1, 4 * kEpsilon);
    EXPECT_NEAR(flow.alpha + flow.sigma, 1, 4 * kEpsilon);
    EXPECT_EQ(mixing(Family::Ve, s).alpha, 1);
  }
  EXPECT_EQ(mixing(Family::Flow, INFINITY).sigma, 1);
  EXPECT_EQ(mixing(Family::Vp, INFINITY).alpha, 0);
  EXPECT_THROW(mixing(Family::Edm, INFINITY), Error);
}

// alpha of the SDEs is exp(-1/2 the integral of beta), here summed by Simpson's rule, which is exact for a line.
TEST(Family, ProcessesAreTheirDefinitions) {
  for (const double t : {1e-3, 0.2, 0.7, 1.0}) {
    const Process vp = process_of(Family::VpSde), sub = process_of(Family::SubVp), ve = process_of(Family::Ve);
    const double integral = t / 6 * (vp.rate(0) + 4 * vp.rate(t / 2) + vp.rate(t));
    const double alpha = std::exp(-integral / 2);
    EXPECT_NEAR(mixing(Family::VpSde, vp.s(t)).alpha, alpha, 8 * kEpsilon);
    EXPECT_NEAR(mixing(Family::SubVp, sub.s(t)).alpha, alpha, 8 * kEpsilon);
    EXPECT_NEAR(std::log(ve.s(t)), std::log(0.01) + t * std::log(5000), 32 * kEpsilon);
    EXPECT_NEAR(mixing(Family::Flow, process_of(Family::Flow).s(t)).sigma, t, 2 * kEpsilon);
  }
}

TEST(Family, ProcessesInvert) {
  for (const Family family : {Family::VpSde, Family::SubVp, Family::Ve, Family::Edm, Family::Flow})
    for (const double t : {1e-3, 0.2, 0.7, 1.0}) {
      const Process process = process_of(family);
      EXPECT_NEAR(process.t(process.s(t)), t, 64 * kEpsilon) << name_of(family) << " at " << t;
    }
  EXPECT_THROW(process_of(Family::Vp).s(0.5), Error);
  EXPECT_THROW(process_of(Family::Ve).rate(0.5), Error);
}

TEST(Family, LevelsInvert) {
  for (const Family family : kFamilies) {
    const NoiseSchedule schedule(config_of(family));
    const Levels levels(schedule);
    for (const double time : {1.0, 1.5, 400.25, 998.0}) {
      if (family == Family::Vp && time != std::floor(time)) continue;  // its two interpolations are not one
      const Level level = levels.at(time);
      EXPECT_NEAR(levels.of_s(level.s()).time, time, 1e-7) << name_of(family);
      EXPECT_NEAR(level.alpha * level.alpha + level.sigma * level.sigma, 1, 4 * kEpsilon);
    }
    EXPECT_EQ(levels.at(-1).sigma, 0);
    EXPECT_EQ(levels.at(3).abar, schedule.abar(Step::from_timestep(3)));
  }
  EXPECT_EQ(Levels(NoiseSchedule(config_of(Family::Flow))).at(999).alpha, 0);
  EXPECT_NEAR(Levels(NoiseSchedule(config_of(Family::Flow))).at(499).s(), 1, 4 * kEpsilon);
}

// The linear schedule is the SDE's beta(t) in T steps.
TEST(Family, TheRateOfATableIsItsBetas) {
  const Levels table((NoiseSchedule(SchedulerConfig{}))), sde(NoiseSchedule(config_of(Family::VpSde)));
  for (const double time : {0.0, 250.5, 999.0}) EXPECT_NEAR(table.rate(time), sde.rate(time), 1e-12);
  const Levels edm(NoiseSchedule(config_of(Family::Edm)));
  EXPECT_NEAR(edm.growth(), 2 * std::log(80 / 0.002), 1e-12);
  EXPECT_THROW(edm.rate(3), Error);
  EXPECT_THROW(sde.growth(), Error);
}

// A perfect answer, built from the definition of the family's state and its preconditioning, gives x0 and eps in every
// space.
TEST(Family, APerfectAnswerIsRead) {
  constexpr double kX0 = 0.7, kEps = -1.3, kData = 0.5;
  for (const Family family : kFamilies)
    for (const Quantity quantity : Quantity::all()) {
      SchedulerConfig config = config_of(family);
      config.prediction_type = quantity;
      if (family == Family::Edm && quantity != Quantity::epsilon()) continue;
      const Reading reading = Reading::of(config);
      const Levels levels((NoiseSchedule(config)));
      for (const double s : {0.05, 1.0, 20.0}) {
        const Level level = levels.of_s(s);
        const Mixing own = mixing(family, s);
        const double native = own.alpha * kX0 + own.sigma * kEps, q = s * s + kData * kData;
        const Combination meant = quantity.combination(own.alpha, own.sigma);
        const double answer = family == Family::Edm ? (kX0 - kData * kData / q * native) / (s * kData / std::sqrt(q))
                                                    : meant.x0 * kX0 + meant.eps * kEps;
        const double input = family == Family::Edm ? native / std::sqrt(q) : native;
        for (const Space space : {Space::Vp, Space::Sigma, Space::Flow, Space::Native}) {
          const Mixing m = reading.state(level, space);
          const double state = m.alpha * kX0 + m.sigma * kEps;
          const CallAt call = reading.call(level, space);
          const double tolerance = 64 * kEpsilon * (1 + s) * (1 + 1 / s) * (1 + s);
          EXPECT_NEAR(call.input_scale * state, input, tolerance) << name_of(family);
          EXPECT_NEAR(call.x0.from_x * state + call.x0.from_given * answer, kX0, tolerance)
              << name_of(family) << ", " << name_of(quantity) << " at " << s;
          EXPECT_NEAR(call.eps.from_x * state + call.eps.from_given * answer, kEps, tolerance)
              << name_of(family) << ", " << name_of(quantity) << " at " << s;
          EXPECT_NEAR(call.eps_from_x0.from_x * state + call.eps_from_x0.from_given * kX0, kEps, tolerance);
        }
        const Target target = reading.target(level);
        EXPECT_NEAR(target.x0 * kX0 + target.eps * kEps, answer, 64 * kEpsilon * (1 + 1 / s)) << name_of(family);
        EXPECT_NEAR(target.input.alpha * kX0 + target.input.sigma * kEps, input, 64 * kEpsilon * (1 + s));
      }
    }
}

// Times as the networks of the papers have them: 999 t, sigma, ln(s) / 4, 1000 u.
TEST(Family, TimesOfTheirNetworks) {
  const auto time = [](Family family, int steps, double s) {
    SchedulerConfig config = config_of(family);
    config.num_train_timesteps = steps;
    return Reading::of(config).time(Levels(NoiseSchedule(config)).of_s(s));
  };
  const double s = process_of(Family::VpSde).s(0.25);
  EXPECT_NEAR(time(Family::VpSde, 1000, s), 999 * 0.25, 1e-9);
  EXPECT_NEAR(time(Family::VpSde, 2000, s), 999 * 0.25, 1e-9);
  EXPECT_NEAR(time(Family::Ve, 1000, 3), 3, 1e-12);
  EXPECT_NEAR(time(Family::Edm, 1000, 3), std::log(3) / 4, 1e-12);
  EXPECT_NEAR(time(Family::Flow, 1000, 1), 500, 1e-9);
}

// What is trained: the state of the family, scaled as its network is given it.
TEST(Family, ForwardRowsAreTheFamilysState) {
  for (const Family family : kFamilies) {
    SchedulerConfig config = config_of(family);
    if (family == Family::Flow) config.prediction_type = quantity_of("flow_prediction", "");
    const Levels levels((NoiseSchedule(config)));
    const std::vector<ForwardRow> rows = forward_rows(levels, Reading::of(config));
    ASSERT_EQ(rows.size(), 1000u);
    const double s = levels.at(600).s();
    const Mixing m = mixing(family, s);
    const double in = family == Family::Edm ? 1 / std::hypot(s, 0.5) : 1;
    EXPECT_NEAR(rows[600].x0 / (in * m.alpha), 1, 2e-7) << name_of(family);
    EXPECT_NEAR(rows[600].eps / (in * m.sigma), 1, 2e-7) << name_of(family);
  }
}

TEST(Family, FilesRoundTrip) {
  for (const Family family : kFamilies) {
    SchedulerConfig config = config_of(family);
    config.sigma_max = 60, config.beta_max = 18, config.rho = 5;
    const SchedulerConfig again = parse_scheduler_config(scheduler_config_json(config), "x.json");
    EXPECT_EQ(again.family, family);
    EXPECT_EQ(again.beta_max, family == Family::VpSde || family == Family::SubVp ? 18 : 20) << name_of(family);
    EXPECT_EQ(again.sigma_max, family == Family::Ve || family == Family::Edm ? 60 : 80) << name_of(family);
    EXPECT_EQ(again.rho, family == Family::Edm ? 5 : 7) << name_of(family);
  }
}

TEST(Family, Refusals) {
  const auto refused = [](const Json& json) { return user_error([&] { parse_scheduler_config(json, "x.json"); }); };
  EXPECT_EQ(refused({{"family", "edm"}, {"sigma_max", 0.001}}),
            "x.json: sigma_max is 0.001; expected more than sigma_min, 0.002");
  EXPECT_EQ(refused({{"family", "edm"}, {"sigma_data", 0}}), "x.json: sigma_data is 0; expected a number above 0");
  EXPECT_EQ(refused({{"family", "vp-sde"}, {"beta_max", 0.05}}),
            "x.json: beta_max is 0.05; expected beta_min or more, 0.1");
  EXPECT_EQ(refused({{"family", "edm"}, {"prediction_type", "sample"}}),
            "x.json: prediction_type sample is not one of a preconditioned network; use epsilon, or v_prediction for "
            "the other sign");
  EXPECT_EQ(refused({{"family", "ve"}, {"rescale_betas_zero_snr", true}}),
            "x.json: rescale_betas_zero_snr changes a table of betas, which family ve does not have; set it to false");
}

}  // namespace
}  // namespace ito::test
