// SPDX-License-Identifier: Apache-2.0
// What is measured of a network by timestep, and the reverse option that widens its variance by it, on data of which
// the network knows all that can be known: against integrals over the mixture's own density, and against states of the
// chain that are drawn exactly.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/likelihood/reverse_statistics.h"
#include "engine/samplers/sampler.h"
#include "models/mixture/mixture_config.h"
#include "models/model_on_device.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

// Few timesteps of large betas: the error goes from little to almost all of eps.
constexpr int kTimesteps = 10;
constexpr size_t kSize = 2;

SchedulerConfig few_timesteps(const SchedulerConfig& usual) {
  SchedulerConfig config = usual;
  config.num_train_timesteps = kTimesteps;
  config.beta_start = 0.02;
  config.beta_end = 0.5;
  return config;
}

Json standard_normal() {
  return {{"_class_name", "GaussianMixture"},
          {"shape", {2, 1, 1}},
          {"weights", {1}},
          {"means", {{0, 0}}},
          {"variances", {1}}};
}

// A mixture as a model, with what was measured of it on its own draws.
struct Measured {
  explicit Measured(const Json& file)
      : loaded(load_model(folder.write("m.json", json_text(file)), 0, 0)),
        mixture(mixture_config_from_json(file, "m.json", nullptr).mixture()),
        schedule(few_timesteps(loaded.scheduler)),
        levels(schedule) {
    StatisticsSettings settings;
    settings.batch = std::strcmp(device_name(), "sim") == 0 ? 50 : 1000;
    settings.per_timestep = 10 * settings.batch;
    if (kSanitized) settings.per_timestep = settings.batch = 10;
    settings.seed = 8;
    std::vector<float> images;
    for (int i = 0; i < kTimesteps * settings.per_timestep; ++i)
      for (const double x : mixture.sample(21, static_cast<uint32_t>(i))) images.push_back(static_cast<float>(x));
    statistics = measure_reverse_statistics(loaded.network, nullptr, schedule, images, {}, settings);
    count = settings.per_timestep;
  }
  TempFolder folder;
  ModelOnDevice loaded;
  GaussianMixture mixture;
  NoiseSchedule schedule;
  Levels levels;
  LevelStatistics statistics;
  int count;
};

// E |eps - eps_hat|^2 / N = 1 - E |eps_hat|^2 / N, for eps_hat = E[eps | x]. The integral over x by the trapezoid rule,
// whose error falls as exp(-2 pi^2 (std / step)^2) for normal densities: every std here is above 7 steps.
double error_left(const GaussianMixture& mixture, const Level& level) {
  constexpr double kReach = 8, kStep = 0.1;
  double sum = 0, density = 0;
  for (double a = -kReach; a <= kReach; a += kStep)
    for (double b = -kReach; b <= kReach; b += kStep) {
      const std::vector<double> x = {a, b}, eps = mixture.expected_eps(x, level.alpha, level.sigma);
      const double p = std::exp(mixture.log_density(x, level.alpha, level.sigma)) * kStep * kStep;
      density += p;
      sum += p * (eps[0] * eps[0] + eps[1] * eps[1]);
    }
  EXPECT_NEAR(density, 1, 1e-9);
  return 1 - sum / kSize;
}

// Mean and variance of what one draw gives.
struct Estimate {
  double mean, variance;
};
template <class F>
Estimate estimate(int draws, const F& one) {
  double sum = 0, squares = 0;
  for (int i = 0; i < draws; ++i) {
    const double value = one(static_cast<uint32_t>(i));
    sum += value / draws, squares += value * value / draws;
  }
  return {sum, squares - sum * sum};
}
constexpr int kDraws = 10000;

const GaussianMixture& noise() {
  static const GaussianMixture normal({1}, {0, 0}, {1, 1});
  return normal;
}

// Within five standard errors; the spread of one image's error is that of exact draws.
TEST(OracleStatistics, ErrorIsTheMixturesOwn) {
  const Measured measured(two_bumps());
  for (int t = 0; t < kTimesteps; ++t) {
    const Level level = measured.levels.at(t);
    const Estimate drawn = estimate(kDraws, [&](uint32_t i) {
      const std::vector<double> x0 = measured.mixture.sample(31, i), eps = noise().sample(32, i);
      const std::vector<double> x = {level.alpha * x0[0] + level.sigma * eps[0],
                                     level.alpha * x0[1] + level.sigma * eps[1]};
      const std::vector<double> known = measured.mixture.expected_eps(x, level.alpha, level.sigma);
      return (std::pow(eps[0] - known[0], 2) + std::pow(eps[1] - known[1], 2)) / kSize;
    });
    const double exact = error_left(measured.mixture, level);
    EXPECT_NEAR(drawn.mean, exact, 5 * std::sqrt(drawn.variance / kDraws)) << "the integral, at timestep " << t;
    EXPECT_NEAR(measured.statistics.error_at(t, "test"), exact, 5 * std::sqrt(drawn.variance / measured.count))
        << "timestep " << t;
  }
}

// The step of the chain from t: its mean, and a variance that must be the mean squared distance of x_{t-1} from it.
// Both are means over draws, of errors that add.
TEST(OracleStatistics, MarginalHasTheVarianceOfTheStep) {
  const Measured measured(two_bumps());
  const ReverseTable table =
      sampling_table(sampler_named("ddpm"), measured.schedule,
                     {.steps = kTimesteps, .reverse = "marginal", .statistics = &measured.statistics});
  for (int t = 1; t < kTimesteps; ++t) {
    const Level from = measured.levels.at(t), to = measured.levels.at(t - 1);
    const RowOf<double>& row = table.exact.at(static_cast<size_t>(kTimesteps - 1 - t));
    ASSERT_EQ(row.timestep, t);
    const double kept = std::sqrt(from.abar / to.abar), beta = 1 - from.abar / to.abar;
    const Estimate drawn = estimate(kDraws, [&](uint32_t i) {
      const std::vector<double> x0 = measured.mixture.sample(41, i), eps = noise().sample(42, i),
                                step = noise().sample(43, i);
      std::vector<double> before(kSize), x(kSize);
      for (size_t j = 0; j < kSize; ++j) {
        before[j] = to.alpha * x0[j] + to.sigma * eps[j];
        x[j] = kept * before[j] + std::sqrt(beta) * step[j];
      }
      const std::vector<double> clean = measured.mixture.expected_x0(x, from.alpha, from.sigma);
      double square = 0;
      for (size_t j = 0; j < kSize; ++j)
        square += std::pow(before[j] - row.weight[0][kX] * x[j] - row.weight[0][kX0] * clean[j], 2) / kSize;
      return square;
    });
    const double spread = row.weight[0][kNoise];
    EXPECT_NEAR(spread * spread, drawn.mean, 5 * std::sqrt(drawn.variance * (1.0 / kDraws + 1.0 / measured.count)))
        << "timestep " << t;
  }
}

// Standard normal data: eps - eps_hat is N(0, abar_t), so the mean of its square over N numbers and n images has the
// standard error abar_t sqrt(2 / (N n)), and the step's variance is beta_t.
TEST(OracleStatistics, StandardNormalDataHasTheForwardStepsVariance) {
  const Measured measured(standard_normal());
  const ReverseTable table =
      sampling_table(sampler_named("ddpm"), measured.schedule,
                     {.steps = kTimesteps, .reverse = "marginal", .statistics = &measured.statistics});
  for (int t = 0; t < kTimesteps; ++t) {
    const Level from = measured.levels.at(t), to = measured.levels.at(t - 1);
    const double error = 5 * from.abar * std::sqrt(2.0 / (kSize * measured.count));
    EXPECT_NEAR(measured.statistics.error_at(t, "test"), from.abar, error) << "timestep " << t;
    if (t == 0) continue;  // to clean data, without noise
    const double spread = table.exact.at(static_cast<size_t>(kTimesteps - 1 - t)).weight[0][kNoise];
    const double kept = from.abar / to.abar, beta = 1 - kept;
    EXPECT_NEAR(spread * spread, beta, beta * beta / (kept * (1 - from.abar)) * error) << "timestep " << t;
  }
}

}  // namespace
}  // namespace ito::test
