// SPDX-License-Identifier: Apache-2.0
// Noise schedules and scheduler_config.json.
#include "engine/diffusion/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "tests/engine/user_error.h"

namespace ito {
namespace {

using test::user_error;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

double abar_at(const NoiseSchedule& schedule, int timestep) {
  return schedule.abar(Step::from_timestep(timestep));
}

SchedulerConfig parse(const std::string& text) {
  return parse_scheduler_config(parse_json(text, "test"), "test");
}

TEST(Step, TimestepsAreOneBelowTheMathematics) {
  EXPECT_EQ(Step::from_timestep(0).t(), 1);
  EXPECT_EQ(Step::from_timestep(999).t(), 1000);
  EXPECT_EQ(Step::from_t(1000).timestep(), 999);
  EXPECT_EQ(Step::from_timestep(-1), Step::clean());
  EXPECT_EQ(Step::from_timestep(7).previous(), Step::from_timestep(6));
}

struct Golden {
  BetaSchedule schedule;
  double start, end;
  double abar[5];  // at timesteps 0, 249, 499, 998, 999
  double first_beta, last_beta;
};

// The published schedulers run in double; 12 digits are given.
TEST(NoiseSchedule, AlphaBarOfEverySchedule) {
  const Golden goldens[] = {{BetaSchedule::Linear,
                             1e-4,
                             0.02,
                             {0.9999, 0.524085373825, 0.0785872428818, 4.11819363814e-05, 4.03582976538e-05},
                             1e-4,
                             0.02},
                            {BetaSchedule::ScaledLinear,
                             0.00085,
                             0.012,
                             {0.99915, 0.675432413725, 0.277669650456, 0.00471669889988, 0.00466009851308},
                             0.00085,
                             0.012},
                            {BetaSchedule::SquaredCosCapV2,
                             1e-4,
                             0.02,
                             {0.999958715775, 0.847012161327, 0.493843590441, 2.42876690703e-06, 2.42876690703e-09},
                             4.1284224822e-05,
                             0.999},
                            {BetaSchedule::Sigmoid,
                             1e-4,
                             0.02,
                             {0.999850794799, 0.903744665401, 0.301931056602, 4.04896200056e-05, 3.96818199053e-05},
                             0.000149205200817,
                             0.0199507947992}};
  const int timesteps[] = {0, 249, 499, 998, 999};
  for (const Golden& golden : goldens) {
    SchedulerConfig config;
    config.beta_schedule = golden.schedule;
    config.beta_start = golden.start;
    config.beta_end = golden.end;
    const NoiseSchedule schedule(config);
    SCOPED_TRACE(name_of(golden.schedule));
    for (int i = 0; i < 5; ++i)
      EXPECT_NEAR(abar_at(schedule, timesteps[i]) / golden.abar[i], 1, 1e-11) << "timestep " << timesteps[i];
    EXPECT_NEAR(schedule.beta(Step::from_timestep(0)) / golden.first_beta, 1, 1e-11);
    EXPECT_NEAR(schedule.beta(Step::from_timestep(999)) / golden.last_beta, 1, 1e-11);
  }
}

// The constants of diffusers' own fp32 tests, to the digits they have.
TEST(NoiseSchedule, PublishedConstants) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  EXPECT_NEAR(abar_at(schedule, 0), 0.99990, 1e-9);
  EXPECT_NEAR(abar_at(schedule, 499) / 0.0785872, 1, 2e-5);
  EXPECT_NEAR(abar_at(schedule, 999) / 4.03583e-5, 1, 2e-5);
  EXPECT_NEAR(schedule.posterior_variance(Step::from_timestep(487)) / 0.009791660, 1, 2e-5);
  EXPECT_NEAR(schedule.posterior_variance(Step::from_timestep(999)) / 0.019999964, 1, 2e-5);
  EXPECT_EQ(schedule.posterior_variance(Step::from_timestep(0)), 0);
}

// Composing t single steps multiplies the mean's factor by sqrt(alpha) and maps the variance to alpha var + beta; each
// step rounds a few times, so after T = 1000 steps the two agree to a few thousand units in the last place.
TEST(NoiseSchedule, SingleStepsComposeToTheClosedForm) {
  for (const BetaSchedule name :
       {BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::SquaredCosCapV2, BetaSchedule::Sigmoid}) {
    SchedulerConfig config;
    config.beta_schedule = name;
    const NoiseSchedule schedule(config);
    double mean = 1, variance = 0;
    for (Step step = Step::from_t(1); step.t() <= schedule.steps(); step = Step::from_t(step.t() + 1)) {
      const double beta = schedule.beta(step);
      mean *= std::sqrt(1 - beta);
      variance = (1 - beta) * variance + beta;
      ASSERT_NEAR(mean / std::sqrt(schedule.abar(step)), 1, 8000 * kEpsilon) << name_of(name) << " " << step.t();
      ASSERT_NEAR(variance, 1 - schedule.abar(step), 8000 * kEpsilon) << name_of(name) << " " << step.t();
      ASSERT_LT(schedule.abar(step), schedule.abar(step.previous()));
    }
  }
}

// Bayes' rule on the two Gaussians N(x_s; sqrt(abar_s) x0, 1 - abar_s) and N(x_t; sqrt(a) x_s, b) gives the posterior
// by adding precisions: another route to the same numbers. 1 - abar_s is known to kEpsilon absolutely, hence the
// tolerance.
TEST(NoiseSchedule, PosteriorIsBayesRule) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  for (const auto& [to, from] : {std::pair{1, 2}, {10, 11}, {500, 501}, {999, 1000}, {300, 400}, {1, 1000}}) {
    const double abar = schedule.abar(Step::from_t(from)), abar_s = schedule.abar(Step::from_t(to));
    const double a = abar / abar_s, b = 1 - a;
    const double precision = 1 / (1 - abar_s) + a / b;
    const Posterior posterior = gaussian_posterior(abar, abar_s);
    const double tolerance = 16 * kEpsilon / std::min(1 - abar_s, b);
    EXPECT_NEAR(posterior.variance * precision, 1, tolerance) << to << " " << from;
    EXPECT_NEAR(posterior.from_x0 * precision * (1 - abar_s) / std::sqrt(abar_s), 1, tolerance) << to << " " << from;
    EXPECT_NEAR(posterior.from_x * precision * b / std::sqrt(a), 1, tolerance) << to << " " << from;
    // The same mean through eps: (x_t - b / sqrt(1 - abar) eps) / sqrt(a).
    const double x0 = 0.3, eps = -1.7, x = std::sqrt(abar) * x0 + std::sqrt(1 - abar) * eps;
    EXPECT_NEAR(posterior.from_x0 * x0 + posterior.from_x * x, (x - b / std::sqrt(1 - abar) * eps) / std::sqrt(a),
                tolerance * 4 / std::sqrt(a));
  }
}

TEST(NoiseSchedule, ZeroTerminalSnr) {
  SchedulerConfig config;
  config.rescale_betas_zero_snr = true;
  const NoiseSchedule rescaled(config), plain{SchedulerConfig{}};
  EXPECT_EQ(abar_at(rescaled, 999), 0);
  EXPECT_EQ(rescaled.beta(Step::from_timestep(999)), 1);
  EXPECT_NEAR(abar_at(rescaled, 0), abar_at(plain, 0), 4 * kEpsilon);
  EXPECT_NEAR(abar_at(rescaled, 249) / 0.521533340699, 1, 1e-11);
  EXPECT_NEAR(abar_at(rescaled, 499) / 0.0760287505471, 1, 1e-11);
  EXPECT_NEAR(abar_at(rescaled, 998) / 4.21326246509e-09, 1, 1e-9);
}

TEST(NoiseSchedule, TrainedBetasReplaceTheSchedule) {
  SchedulerConfig config;
  config.num_train_timesteps = 4;
  config.trained_betas = {0.1, 0.2, 0.3, 0.4};
  const NoiseSchedule schedule(config);
  EXPECT_EQ(schedule.steps(), 4);
  EXPECT_NEAR(abar_at(schedule, 3), 0.9 * 0.8 * 0.7 * 0.6, 4 * kEpsilon);
  config.num_train_timesteps = 5;
  EXPECT_NE(user_error([&] { NoiseSchedule{config}; }).find("trained_betas holds 4"), std::string::npos);
}

TEST(NoiseSchedule, ItsEnds) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  EXPECT_EQ(schedule.abar(Step::clean()), 1);
  EXPECT_THROW(schedule.abar(Step::from_timestep(1000)), Error);
  EXPECT_THROW(schedule.beta(Step::clean()), Error);
}

TEST(SchedulerConfig, EmptyObjectIsTheDefault) {
  EXPECT_EQ(parse("{}"), SchedulerConfig{});
}

TEST(SchedulerConfig, EveryKeyRoundTrips) {
  SchedulerConfig config;
  config.num_train_timesteps = 3;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = BetaSchedule::Sigmoid;
  config.trained_betas = {0.1, 0.25, 0.3};
  config.clip_sample = false;
  config.prediction_type = quantity_of("v_prediction", "");
  config.thresholding = true;
  config.dynamic_thresholding_ratio = 0.9;
  config.clip_sample_range = 2.5;
  config.sample_max_value = 1.5;
  config.timestep_spacing = TimestepSpacing::Trailing;
  config.steps_offset = 1;
  config.rescale_betas_zero_snr = true;
  config.variance_type = VarianceType::LearnedRange;
  EXPECT_EQ(parse(json_text(scheduler_config_json(config))), config);
  config.class_name = "DDIMScheduler";
  config.set_alpha_to_one = false;
  for (const VarianceType type : {VarianceType::FixedLarge, VarianceType::FixedSmall}) {
    config.variance_type = type;  // no key of this class, but of the chain that the model was trained for
    EXPECT_EQ(parse(json_text(scheduler_config_json(config))), config);
  }
  // The argument lists of the two classes, 15 each, and the two keys that diffusers adds.
  EXPECT_EQ(scheduler_config_json(config).size(), 17u);
  EXPECT_EQ(scheduler_config_json(SchedulerConfig{}).size(), 17u);
  EXPECT_FALSE(scheduler_config_json(config).contains("variance_type"));
  EXPECT_FALSE(scheduler_config_json(SchedulerConfig{}).contains("set_alpha_to_one"));
  EXPECT_EQ(scheduler_config_json(SchedulerConfig{}).at("trained_betas"), nullptr);
}

TEST(SchedulerConfig, EveryNameIsItsValue) {
  for (const char* name : {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"})
    EXPECT_EQ(name_of(beta_schedule_of(name, "")), name);
  for (const char* name : {"fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned_range"})
    EXPECT_EQ(name_of(variance_type_of(name, "")), name);
  for (const char* name : {"leading", "linspace", "trailing"}) EXPECT_EQ(name_of(timestep_spacing_of(name, "")), name);
  for (const char* name : {"epsilon", "sample", "v_prediction", "score", "flow_prediction"})
    EXPECT_EQ(name_of(quantity_of(name, "")), name);
  EXPECT_EQ(quantity_of("epsilon", ""), Quantity::epsilon());
  EXPECT_EQ(quantity_of("sample", ""), Quantity::x0());
  EXPECT_EQ(variance_type_of("fixed_large", ""), VarianceType::FixedLarge);
  EXPECT_EQ(beta_schedule_of("squaredcos_cap_v2", ""), BetaSchedule::SquaredCosCapV2);
}

// The keys of samplers are theirs to judge (engine/samplers); those with an underscore are diffusers' own.
TEST(SchedulerConfig, OtherKeysAreKeptAsTheyAre) {
  const SchedulerConfig config = parse(
      R"({"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "variance_type": "fixed_large",
          "solver_order": 2, "skip_prk_steps": true, "set_alpha_to_one": false})");
  EXPECT_EQ(config.variance_type, VarianceType::FixedLarge);
  EXPECT_FALSE(config.set_alpha_to_one);
  EXPECT_EQ(config.sampler_keys, (Json{{"solver_order", 2}, {"skip_prk_steps", true}}));
  EXPECT_EQ(scheduler_config_json(config).at("solver_order"), 2);
}

TEST(SchedulerConfig, ANullVarianceIsNoVariance) {
  EXPECT_EQ(parse(R"({"variance_type": null})").variance_type, VarianceType::FixedSmall);
}

TEST(SchedulerConfig, RefusalsNameKeyValueAndChoices) {
  const auto refused = [](const std::string& text) { return user_error([&] { parse(text); }); };
  EXPECT_EQ(refused(R"({"variance_type": "learned"})"),
            "test: variance_type 'learned' is not implemented; use one of fixed_small, fixed_small_log, fixed_large, "
            "fixed_large_log, learned_range");
  EXPECT_NE(refused(R"({"_class_name": 3})").find("_class_name is 3; expected a name"), std::string::npos);
  EXPECT_NE(refused(R"({"prediction_type": "v_predicton"})").find("did you mean 'v_prediction'?"), std::string::npos);
  EXPECT_NE(refused(R"({"beta_schedule": 3})").find("beta_schedule is 3; expected a name"), std::string::npos);
  for (const char* text : {R"([])",
                           R"({"clip_sample": 1})",
                           R"({"num_train_timesteps": 0})",
                           R"({"num_train_timesteps": -4})",
                           R"({"num_train_timesteps": 10.5})",
                           R"({"num_train_timesteps": 5000000000})",
                           R"({"beta_start": 0})",
                           R"({"beta_end": 1})",
                           R"({"beta_end": "0.02"})",
                           R"({"trained_betas": [0.1]})",
                           R"({"trained_betas": 1})",
                           R"({"trained_betas": ["a"], "num_train_timesteps": 1})",
                           R"({"trained_betas": [1.5], "num_train_timesteps": 1})",
                           R"({"clip_sample_range": 0})",
                           R"({"dynamic_thresholding_ratio": 2})",
                           R"({"sample_max_value": -1})",
                           R"({"steps_offset": 1000})",
                           R"({"steps_offset": -1})",
                           R"({"timestep_spacing": "leadin"})",
                           R"({"num_train_timesteps": 1, "rescale_betas_zero_snr": true})"})
    EXPECT_NE(refused(text), "") << text;
}

}  // namespace
}  // namespace ito
