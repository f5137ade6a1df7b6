// SPDX-License-Identifier: Apache-2.0
// Samplers as device tables: grids, whole runs against golden states of the published schedulers, and what is refused.
#include "engine/samplers/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "engine/samplers/timesteps.h"
#include "tests/ref/diffusion.h"

namespace ito {
namespace {

using Row = ReverseCoefficients;

constexpr float kEpsilon = std::numeric_limits<float>::epsilon();

// The text of the UserError that f throws; "" if it throws none.
template <class F>
std::string user_error(F&& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

std::vector<Row> table_of(std::string_view sampler, const SchedulerConfig& config, const SamplerSettings& settings) {
  return make_sampler(sampler)->table(NoiseSchedule(config), settings);
}

// One number through one row by the reference that the kernel is tested against; variance: the network's v.
double reverse_step_of(const Row& row, double x, double pred, double z, double variance = 0) {
  return ref::reverse_element(row, x, pred, variance, z).next;
}

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

// Whole runs: input and "networks" are closed forms; the goldens are sums of the published schedulers.
// Where those ran in double, only our rows' rounding to float is left: some four roundings of 6e-8 a step, 25 steps at
// most. The four constants of the published fp32 runs (1000 steps, or digits missing) differ from double by up to 6e-6.
constexpr double kFromDouble = 5e-6, kFromFloat = 2e-5;

double network_a(double x, double t) {
  return x * t / (t + 1);
}
double network_b(double x, double t) {
  return x * t / (t + 1) + 0.02 * std::sin(3 * x + 0.05 * t);
}

struct GoldenRun {
  const char* name;
  const char* sampler;
  std::function<void(SchedulerConfig&)> configure;
  SamplerSettings settings;
  double (*network)(double, double);
  bool noise;
  double sum;        // of |x| at the end
  double tolerance;  // relative
  double after[3];   // signed sums after steps 1, 2, 3; 0: not given
};

// Number i (NCHW) starts as the value of arange(768) / 768 laid out as (3, 8, 8, 4) and permuted to (4, 3, 8, 8); the
// noise of step k is sin(1.3 i + 0.7 k), or none.
void check_run(const GoldenRun& run) {
  SCOPED_TRACE(run.name);
  SchedulerConfig config;
  run.configure(config);
  const std::vector<Row> table = table_of(run.sampler, config, run.settings);
  ASSERT_EQ(table.size(), static_cast<size_t>(run.settings.steps));
  std::vector<double> x(768);
  for (int i = 0; i < 768; ++i) x[i] = (i % 192 * 4 + i / 192) / 768.0;
  for (size_t k = 0; k < table.size(); ++k) {
    double sum = 0;
    for (int i = 0; i < 768; ++i) {
      const double z = run.noise ? std::sin(1.3 * i + 0.7 * static_cast<double>(k)) : 0;
      x[i] = reverse_step_of(table[k], x[i], run.network(x[i], table[k].timestep), z);
      sum += x[i];
    }
    if (k < 3 && run.after[k] != 0) {
      EXPECT_NEAR(sum / run.after[k], 1, run.tolerance) << "after step " << k + 1;
    }
  }
  double sum = 0;
  for (const double value : x) sum += std::fabs(value);
  EXPECT_NEAR(sum / run.sum, 1, run.tolerance);
}

TEST(Samplers, GoldenRuns) {
  const auto plain = [](SchedulerConfig&) {};
  const auto v_prediction = [](SchedulerConfig& config) { config.prediction_type = quantity_of("v_prediction", ""); };
  const auto cosine_large = [](SchedulerConfig& config) {
    config.beta_schedule = BetaSchedule::SquaredCosCapV2;
    config.variance_type = VarianceType::FixedLarge;
  };
  const auto offset = [](SchedulerConfig& config) {
    config.steps_offset = 1;
    config.clip_sample = false;
  };
  const auto zero_snr = [](SchedulerConfig& config) {
    config.timestep_spacing = TimestepSpacing::Trailing;
    config.prediction_type = quantity_of("v_prediction", "");
    config.rescale_betas_zero_snr = true;
  };
  const auto final_abar = [](SchedulerConfig& config) {
    config.beta_start = 0.01;
    config.set_alpha_to_one = false;
  };
  const SamplerSettings steps1000{.steps = 1000}, steps25{.steps = 25}, steps10{.steps = 10}, steps8{.steps = 8};
  SamplerSettings eta1{.steps = 10};
  eta1.eta = 1;
  const GoldenRun runs[] = {
      {"ddpm eps 1000",
       "ddpm",
       plain,
       steps1000,
       network_a,
       false,
       0.66093886,
       kFromFloat,
       {379.65322, 375.84885, 372.08637}},
      {"ddpm v 1000", "ddpm", v_prediction, steps1000, network_a, false, 0.11322279, kFromFloat, {}},
      {"ddpm eps 25",
       "ddpm",
       plain,
       steps25,
       network_b,
       true,
       106.952181,
       kFromDouble,
       {265.48903, 184.5347, 132.82123}},
      {"ddpm large cosine 10",
       "ddpm",
       cosine_large,
       steps10,
       network_b,
       true,
       138.506539,
       kFromDouble,
       {178.30042, 114.48257, 78.380416}},
      {"ddim eps 10",
       "ddim",
       plain,
       steps10,
       network_a,
       false,
       172.0067,
       kFromFloat,
       {383.91307, 383.75491, 381.87658}},
      {"ddim v 10", "ddim", v_prediction, steps10, network_a, false, 52.5302, kFromFloat, {}},
      {"ddim offset 1",
       "ddim",
       offset,
       steps10,
       network_b,
       false,
       175.970588,
       kFromDouble,
       {376.32546, 383.05948, 389.16448}},
      {"ddim zero snr",
       "ddim",
       zero_snr,
       steps8,
       network_b,
       false,
       39.0894638,
       kFromDouble,
       {377.76932, 363.04134, 331.79133}},
      {"ddim eta 1", "ddim", plain, eta1, network_b, true, 218.841854, kFromDouble, {153.43085, 73.005949, 31.58946}},
      {"ddim final abar",
       "ddim",
       final_abar,
       steps10,
       network_a,
       false,
       149.07843,
       kFromDouble,
       {384.15641, 384.82884, 385.50034}},
  };
  for (const GoldenRun& run : runs) check_run(run);
}

// Without clipping both samplers are linear in (x, pred, z), so their rows can be compared as three numbers a step.
// Each is a sum of products of floats: the bound is a few roundings of the terms' magnitudes.
TEST(Samplers, DdimWithEtaOneOnTheFullGridIsDdpm) {
  for (const Quantity prediction : Quantity::all()) {
    SchedulerConfig config;
    config.prediction_type = prediction;
    SamplerSettings settings{.steps = 1000};
    settings.clip_sample = false;
    const std::vector<Row> ddpm = table_of("ddpm", config, settings);
    settings.eta = 1;
    const std::vector<Row> ddim = table_of("ddim", config, settings);
    for (size_t i = 0; i < ddpm.size(); ++i) {
      const Row &a = ddpm[i], &b = ddim[i];
      ASSERT_EQ(a.timestep, b.timestep);
      ASSERT_EQ(a.clip, 0);
      const double scale_x = std::fabs(a.mean_x) + std::fabs(a.mean_x0 * a.x0_from_x) +
                             std::fabs(b.mean_x0 * b.x0_from_x) + std::fabs(b.mean_eps * b.eps_from_x);
      const double scale_pred = std::fabs(b.mean_x0 * b.x0_from_pred) + std::fabs(b.mean_eps * b.eps_from_pred);
      const double a0 = reverse_step_of(a, 1, 0, 0), b0 = reverse_step_of(b, 1, 0, 0);
      const double a1 = reverse_step_of(a, 0, 1, 0), b1 = reverse_step_of(b, 0, 1, 0);
      ASSERT_NEAR(a0, b0, 2 * kEpsilon * scale_x) << name_of(prediction) << " step " << i;
      ASSERT_NEAR(a1, b1, 2 * kEpsilon * scale_pred) << name_of(prediction) << " step " << i;
      ASSERT_NEAR(a.noise_std, b.noise_std, 2 * kEpsilon * a.noise_std) << name_of(prediction) << " step " << i;
    }
  }
}

TEST(Samplers, DdpmStepsToTheNextTimestepOfTheGrid) {
  SchedulerConfig config;
  config.timestep_spacing = TimestepSpacing::Trailing;
  const NoiseSchedule schedule(config);
  const std::vector<Row> table = table_of("ddpm", config, {.steps = 7});
  const std::vector<int> grid = make_sampler("ddpm")->timesteps(schedule, {.steps = 7});
  for (size_t i = 0; i < grid.size(); ++i) {
    const Step to = i + 1 < grid.size() ? Step::from_timestep(grid[i + 1]) : Step::clean();
    const Posterior expected =
        gaussian_posterior(schedule.abar(Step::from_timestep(grid[i])), schedule.abar(to));
    EXPECT_EQ(table[i].timestep, grid[i]);
    EXPECT_EQ(table[i].mean_x0, static_cast<float>(expected.from_x0));
    EXPECT_EQ(table[i].mean_x, static_cast<float>(expected.from_x));
    EXPECT_EQ(table[i].mean_eps, 0);
    EXPECT_EQ(table[i].noise_std, static_cast<float>(std::sqrt(std::max(expected.variance, 1e-20))));
  }
}

TEST(Samplers, DdimStepsByWholeStrides) {
  SchedulerConfig config;
  config.timestep_spacing = TimestepSpacing::Trailing;  // 999, 856, ..., 285, 142; floor(1000 / 7) = 142
  const NoiseSchedule schedule(config);
  const std::vector<Row> table = table_of("ddim", config, {.steps = 7});
  const auto root_abar = [&](int timestep) {
    return static_cast<float>(std::sqrt(schedule.abar(Step::from_timestep(timestep))));
  };
  EXPECT_EQ(table[0].mean_x0, root_abar(857));
  EXPECT_EQ(table[5].mean_x0, root_abar(143));
  EXPECT_EQ(table[6].mean_x0, root_abar(0));
}

TEST(Samplers, VarianceTypes) {
  const auto rows = [](VarianceType type) {
    SchedulerConfig config;
    config.variance_type = type;
    return table_of("ddpm", config, {.steps = 1000});
  };
  const std::vector<Row> small = rows(VarianceType::FixedSmall), large = rows(VarianceType::FixedLarge),
                         small_log = rows(VarianceType::FixedSmallLog), large_log = rows(VarianceType::FixedLargeLog),
                         learned = rows(VarianceType::LearnedRange);
  const NoiseSchedule schedule{SchedulerConfig{}};
  for (size_t i = 0; i < small.size(); ++i) {
    const Step step = Step::from_timestep(static_cast<int>(small[i].timestep));
    if (step.timestep() == 0) {
      for (const auto* table : {&small, &large, &small_log, &large_log, &learned}) EXPECT_EQ((*table)[i].noise_std, 0);
      continue;
    }
    // beta here is 1 - abar_t / abar_{t-1}, which rounds at 1e-16 / beta of itself: nothing beside a float's rounding.
    EXPECT_NEAR(small[i].noise_std, std::sqrt(schedule.posterior_variance(step)), kEpsilon * small[i].noise_std);
    EXPECT_NEAR(large[i].noise_std, std::sqrt(schedule.beta(step)), kEpsilon * large[i].noise_std);
    EXPECT_EQ(small[i].noise_std, small_log[i].noise_std);
    EXPECT_EQ(large[i].noise_std, large_log[i].noise_std);
    EXPECT_EQ(small[i].learned_variance, 0);
    EXPECT_EQ(learned[i].learned_variance, 1);
    // v = -1 is the posterior's variance, v = 1 the forward step's, v = 0 their geometric mean. A logarithm of size 10
    // as a float is off by 5e-7, half of which is the relative error of the root.
    const auto std_at = [&](double v) { return reverse_step_of(learned[i], 0, 0, 1, v); };
    EXPECT_NEAR(std_at(-1) / small[i].noise_std, 1, 1e-6);
    EXPECT_NEAR(std_at(1) / large[i].noise_std, 1, 1e-6);
    EXPECT_NEAR(std_at(0) / std::sqrt(static_cast<double>(small[i].noise_std) * large[i].noise_std), 1, 1e-6);
  }
}

// A network with a learned variance under DDIM: its second half of channels is skipped and sigma is DDIM's own.
TEST(Samplers, DdimIgnoresTheLearnedVariance) {
  SchedulerConfig config;
  SamplerSettings settings{.steps = 20};
  for (const double eta : {0.0, 0.7}) {
    settings.eta = eta;
    config.variance_type = VarianceType::FixedSmall;
    const std::vector<Row> plain = table_of("ddim", config, settings);
    config.variance_type = VarianceType::LearnedRange;
    const std::vector<Row> learned = table_of("ddim", config, settings);
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_EQ(learned[i].learned_variance, 1);
      for (const double v : {-1.0, 0.3, 1.0})
        EXPECT_NEAR(reverse_step_of(learned[i], 0, 0, 1, v), plain[i].noise_std, 2e-6 * plain[i].noise_std);
    }
  }
}

TEST(Samplers, EpsFromTheClippedEstimate) {
  SchedulerConfig config;
  SamplerSettings settings{.steps = 10};
  const Row own = table_of("ddim", config, settings)[3];
  settings.use_clipped_model_output = true;
  const Row clipped = table_of("ddim", config, settings)[3];
  EXPECT_EQ(own.eps_from_clipped, 0);
  EXPECT_EQ(clipped.eps_from_clipped, 1);
  const double x = 1.9, pred = -0.8;  // an x0 estimate far outside +-1
  const double abar = NoiseSchedule(config).abar(Step::from_timestep(600));
  const double eps = (x - std::sqrt(abar)) / std::sqrt(1 - abar);  // with x0 clipped to 1
  EXPECT_NEAR(reverse_step_of(clipped, x, pred, 0), clipped.mean_x0 + clipped.mean_eps * eps, 8 * kEpsilon);
  EXPECT_NEAR(reverse_step_of(own, x, pred, 0), own.mean_x0 + own.mean_eps * pred, 8 * kEpsilon);
}

TEST(Samplers, SettingsOverrideTheConfiguration) {
  SchedulerConfig config;
  config.clip_sample_range = 2;
  SamplerSettings settings{.steps = 10};
  EXPECT_EQ(table_of("ddpm", config, settings)[0].clip, 2);
  settings.clip_sample = false;
  settings.timestep_spacing = TimestepSpacing::Trailing;
  EXPECT_EQ(table_of("ddpm", config, settings)[0].clip, 0);
  EXPECT_EQ(table_of("ddpm", config, settings)[0].timestep, 999);
}

TEST(Samplers, Refusals) {
  EXPECT_EQ(make_sampler("ddpm")->name(), "ddpm");
  EXPECT_EQ(make_sampler("ddim")->name(), "ddim");
  EXPECT_EQ(user_error([] { make_sampler("ddmi"); }),
            "sampler 'ddmi' is not known; use one of ddpm, ddim; did you mean 'ddim'?");
  const auto refused = [](std::string_view sampler, const SchedulerConfig& config, const SamplerSettings& settings) {
    return user_error([&] { table_of(sampler, config, settings); });
  };
  SchedulerConfig config;
  SamplerSettings settings{.steps = 10};
  settings.eta = 0.5;
  EXPECT_NE(refused("ddpm", config, settings).find("eta 0.5"), std::string::npos);
  settings.eta = 1.5;
  EXPECT_NE(refused("ddim", config, settings).find("eta is 1.5"), std::string::npos);
  settings.eta = 0;
  settings.use_clipped_model_output = true;
  EXPECT_NE(refused("ddpm", config, settings).find("use_clipped_model_output"), std::string::npos);
  EXPECT_NE(refused("ddim", config, {.steps = 0}), "");
  config.thresholding = true;
  EXPECT_NE(refused("ddim", config, {.steps = 10}).find("thresholding"), std::string::npos);
  config.thresholding = false;
  config.rescale_betas_zero_snr = true;
  EXPECT_EQ(refused("ddpm", config, {.steps = 10}), "");  // leading: starts at 900, which is not pure noise
  settings = {.steps = 10};
  settings.timestep_spacing = TimestepSpacing::Trailing;
  EXPECT_NE(refused("ddpm", config, settings).find("prediction_type epsilon"), std::string::npos);
  config.prediction_type = Quantity::x0();
  EXPECT_EQ(refused("ddpm", config, settings), "");
  EXPECT_EQ(refused("ddim", config, settings), "");
}

}  // namespace
}  // namespace ito
