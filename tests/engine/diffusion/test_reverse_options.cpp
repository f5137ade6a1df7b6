// SPDX-License-Identifier: Apache-2.0
// The reverse options' transitions against their formulas and exact cases, and what was measured by timestep.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/diffusion/options/option.h"
#include "engine/samplers/sampler.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

constexpr double kEpsilon = 0x1p-52;

struct Chain {
  explicit Chain(const SchedulerConfig& given = {}) : config(given), schedule(config), levels(schedule) {}

  Transition at(const char* option, int timestep, const LevelStatistics* statistics = nullptr,
                bool least_squares = false, int to = -2) const {
    const Reading reading = Reading::of(config);
    return reverse_option_named(option, "")
        .transition({.config = config,
                     .reading = reading,
                     .statistics = statistics,
                     .from = levels.at(timestep),
                     .to = levels.at(to == -2 ? timestep - 1 : to),
                     .least_squares_mix = least_squares,
                     .who = who});
  }
  double beta(int timestep) const { return schedule.beta(Step::from_timestep(timestep)); }
  double abar(int timestep) const { return schedule.abar(Step::from_timestep(timestep)); }

  SchedulerConfig config;
  NoiseSchedule schedule;
  Levels levels;
  std::string who = "test";
};

// One image a timestep, of a network with these errors.
template <class F>
LevelStatistics errors(int timesteps, const F& error) {
  LevelStatistics statistics;
  for (int t = 0; t < timesteps; ++t) {
    statistics.images.push_back(2);
    statistics.error.push_back(2 * error(t));
  }
  return statistics;
}

constexpr int kTimesteps[] = {0, 1, 17, 500, 999};

TEST(ReverseOptions, Names) {
  EXPECT_EQ(reverse_option_names(), "direct, x0-mix, posterior, marginal, vlb");
  EXPECT_EQ(user_error([] { reverse_option_named("margnal", "--reverse"); }),
            "--reverse: reverse 'margnal' is not known; use one of direct, x0-mix, posterior, marginal, vlb; did you "
            "mean 'marginal'?");
  for (const std::string& line : reverse_option_lines())
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
}

TEST(ReverseOptions, PosteriorHasItsMeanAndTheVarianceAskedFor) {
  for (const VarianceType type : {VarianceType::FixedSmall, VarianceType::FixedLarge, VarianceType::LearnedRange}) {
    SchedulerConfig config;
    config.variance_type = type;
    const Chain chain(config);
    for (const int t : kTimesteps) {
      const double before = chain.abar(t - 1), beta = chain.beta(t), gone = 1 - chain.abar(t);
      for (const char* option : {"posterior", "vlb"}) {
        const Transition step = chain.at(option, t);
        EXPECT_NEAR(step.x0, std::sqrt(before) * beta / gone, 1e-10);
        EXPECT_NEAR(step.x, std::sqrt(1 - beta) * (1 - before) / gone, 1e-10);
        EXPECT_EQ(step.pred, 0);
        const double small = std::max((1 - before) / gone * beta, 1e-20);
        if (type == VarianceType::LearnedRange) {
          EXPECT_TRUE(step.learned);
          EXPECT_NEAR(step.log_variance_high, std::log(beta), 1e-10);
          EXPECT_NEAR(step.log_variance_low, std::log(small), 1e-9);
        } else {
          EXPECT_NEAR(step.std * step.std / (type == VarianceType::FixedLarge ? beta : small), 1, 1e-9) << t;
        }
      }
    }
  }
}

// A network that errs nowhere leaves the posterior's variance. One that is exact for standard normal data knows eps up
// to a variance of abar_t, whatever it predicts, and the variance is then beta_t, which is that of the data's own
// reverse chain.
TEST(ReverseOptions, MarginalIsExactForAPointAndForStandardNormalData) {
  for (const Quantity quantity : {Quantity::epsilon(), Quantity::x0(), Quantity::v(), Quantity::score()}) {
    SchedulerConfig config;
    config.prediction_type = quantity;
    const Chain chain(config);
    const LevelStatistics none = errors(1000, [](int) { return 0.0; });
    const LevelStatistics normal = errors(1000, [&](int t) {
      const double abar = chain.abar(t), sigma = std::sqrt(1 - abar);
      if (quantity == Quantity::epsilon()) return abar;
      if (quantity == Quantity::x0()) return 1 - abar;
      if (quantity == Quantity::score()) return abar / (sigma * sigma);
      return 1.0;  // v = eps / alpha - (sigma / alpha) x: off by (eps - eps_hat) / alpha
    });
    for (const int t : kTimesteps) {
      const Transition point = chain.at("marginal", t, &none), data = chain.at("marginal", t, &normal);
      const Transition posterior = chain.at("posterior", t);
      EXPECT_EQ(point.std, posterior.std) << t;
      EXPECT_EQ(point.x, posterior.x);
      EXPECT_EQ(point.x0, posterior.x0);
      EXPECT_NEAR(data.std * data.std / chain.beta(t), 1, 1e-9) << name_of(quantity) << " at " << t;
    }
  }
}

// At pure noise v = -x0, all of whose error goes into the step: beta_t is 1, and the variance that of x_{t-1}.
TEST(ReverseOptions, MarginalIsFiniteAtPureNoise) {
  SchedulerConfig config;
  config.prediction_type = Quantity::v();
  config.rescale_betas_zero_snr = true;
  const Chain chain(config);
  const LevelStatistics errors_of_half = errors(1000, [](int) { return 0.5; });
  const double variance = std::pow(chain.at("marginal", 999, &errors_of_half).std, 2), before = chain.abar(998);
  EXPECT_NEAR(variance, 1 - before + before * 0.5, 1e-12);
}

TEST(ReverseOptions, MixIsTheRatioOfTheNoiseLevels) {
  const Chain chain;
  for (const int t : kTimesteps) {
    const Transition step = chain.at("x0-mix", t);
    const double mix = std::sqrt((1 - chain.abar(t - 1)) / (1 - chain.abar(t)));
    EXPECT_NEAR(step.x, mix, 1e-12);
    EXPECT_NEAR(step.x0, 1 - mix, 1e-12);
    EXPECT_NEAR(step.std, mix * std::sqrt(chain.beta(t)), 1e-12);
  }
  EXPECT_EQ(chain.at("x0-mix", 0).x, 0) << "the last step is the estimate";
}

// Standard normal data: D = alpha x_t and the best x_{t-1} is sqrt(alpha_t) x_t, so A = (sqrt(alpha_t) - a) / (1 - a),
// a = sqrt(abar_t), out of the moments of the definition.
TEST(ReverseOptions, LeastSquaresMixIsTheBestPredictorOfNormalData) {
  const Chain chain;
  LevelStatistics statistics = errors(1000, [](int) { return 1.0; });
  for (int t = 0; t < 1000; ++t) {
    const double a = std::sqrt(chain.abar(t));
    const Posterior q = gaussian_posterior(chain.abar(t), chain.abar(t - 1));
    statistics.mix_product.push_back((q.from_x0 * a + q.from_x - a) * (1 - a));
    statistics.mix_square.push_back((1 - a) * (1 - a));
  }
  for (const int t : kTimesteps) {
    const double a = std::sqrt(chain.abar(t));
    const Transition step = chain.at("x0-mix", t, &statistics, true);
    EXPECT_NEAR(step.x, (std::sqrt(1 - chain.beta(t)) - a) / (1 - a), 1e-7) << t;
    EXPECT_NEAR(step.x + step.x0, 1, 4 * kEpsilon);
  }
  EXPECT_NE(user_error([&] { chain.at("x0-mix", 500, &statistics, true, 450); }).find("use all steps, or mix=levels"),
            std::string::npos);
  const LevelStatistics without = errors(1000, [](int) { return 1.0; });
  EXPECT_NE(user_error([&] { chain.at("x0-mix", 500, &without, true); }).find("the least-squares mixing"),
            std::string::npos);
}

TEST(ReverseOptions, DirectIsTheAnswerAndItsError) {
  SchedulerConfig config;
  config.prediction_type = Quantity::mean();
  const Chain chain(config);
  const LevelStatistics measured = errors(1000, [](int t) { return 1e-4 * (t + 1); });
  const Transition step = chain.at("direct", 499, &measured);
  EXPECT_EQ(step.pred, 1);
  EXPECT_EQ(step.x, 0);
  EXPECT_EQ(step.x0, 0);
  EXPECT_NEAR(step.std, std::sqrt(0.05), 1e-12);
  EXPECT_NEAR(chain.at("direct", 0, &measured).std, 1e-2, 1e-12) << "of x0 itself; sampling draws nothing there";
  EXPECT_EQ(user_error([&] { chain.at("direct", 499); }),
            "test: needs what was measured of the network by timestep, and the model has no level_statistics.json; "
            "measure it with reverse-stats");
  EXPECT_NE(user_error([&] { chain.at("direct", 499, &measured, false, 400); }).find("use all steps"),
            std::string::npos);
  const Chain eps;
  EXPECT_EQ(user_error([&] { eps.at("direct", 499, &measured); }),
            "test: needs a network of prediction_type mean, this one predicts epsilon; use another reverse option");
}

TEST(ReverseOptions, BelongToTheSamplerOfTheChain) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  const auto made = [&](const char* sampler, const char* reverse) {
    return sampling_table(sampler_named(sampler), schedule, {.steps = 10, .reverse = reverse});
  };
  EXPECT_EQ(user_error([&] { made("ddim", "marginal"); }),
            "sampler ddim: has no reverse option, it follows what the network predicts; use ddpm");
  const ReverseTable mixed = made("ddpm", "x0-mix"), usual = made("ddpm", "");
  EXPECT_NE(mixed.rows[3].weight[0][kX], usual.rows[3].weight[0][kX]);
  EXPECT_EQ(made("ddpm", "posterior").rows[3].weight[0][kX], usual.rows[3].weight[0][kX]);
}

TEST(ReverseOptions, AreKeptInTheSchedulersFile) {
  SchedulerConfig config;
  EXPECT_FALSE(scheduler_config_json(config).contains("reverse")) << "of the usual one nothing is said";
  config.reverse = "direct";
  config.prediction_type = Quantity::mean();
  EXPECT_EQ(parse_scheduler_config(scheduler_config_json(config), "x.json").reverse, "direct");
  EXPECT_EQ(user_error([] {
              parse_scheduler_config({{"reverse", "direct"}}, "x.json");
            }),
            "x.json: reverse direct needs prediction_type mean, and it is epsilon");
  EXPECT_EQ(user_error([] {
              parse_scheduler_config({{"family", "ve"}, {"prediction_type", "mean"}}, "x.json");
            }),
            "x.json: prediction_type mean is of a chain of timesteps, which family ve is not; use another");
}

TEST(LevelStatistics, RoundTripAndFillGaps) {
  LevelStatistics statistics = errors(5, [](int t) { return 0.1 * (t + 1); });
  statistics.images[1] = statistics.images[2] = statistics.images[4] = 0;
  statistics.error[1] = statistics.error[2] = statistics.error[4] = 0;
  TempFolder folder;
  const std::string path = folder.write("s.json", json_of(statistics).dump());
  const LevelStatistics again = read_level_statistics(path, 5);
  EXPECT_EQ(again.images, statistics.images);
  EXPECT_EQ(again.error, statistics.error);
  EXPECT_EQ(again.error_at(0, ""), 0.1);
  EXPECT_NEAR(again.error_at(1, ""), 0.2, 1e-15) << "on the line between its measured neighbours";
  EXPECT_NEAR(again.error_at(2, ""), 0.3, 1e-15);
  EXPECT_EQ(again.error_at(4, ""), again.error_at(3, "")) << "past the last as the last";
  const LevelStatistics nothing = errors(3, [](int) { return 0.0; });
  LevelStatistics empty = nothing;
  empty.images.assign(3, 0);
  EXPECT_NE(user_error([&] { empty.error_at(1, "who"); }).find("who: needs the network's mean squared error, and no "),
            std::string::npos);
}

TEST(LevelStatistics, Refusals) {
  TempFolder folder;
  const auto refused = [&](const char* text) {
    const std::string path = folder.write("s.json", text);
    std::string message = user_error([&] { read_level_statistics(path, 2); });
    return message.substr(message.find("s.json"));
  };
  EXPECT_EQ(refused("[]"), "s.json: is no object; expected what training and ito reverse-stats write");
  EXPECT_EQ(refused(R"({"images": [1, 2]})"), "s.json: error is no list of 2 numbers, one a timestep of the schedule");
  EXPECT_EQ(refused(R"({"images": [1], "error": [1, 2]})"),
            "s.json: images is no list of 2 numbers, one a timestep of the schedule");
  EXPECT_EQ(refused(R"({"images": [1, "a"], "error": [1, 2]})"), "s.json: images holds \"a\"; expected finite numbers");
  EXPECT_EQ(refused(R"({"images": [1, 1], "error": [1, -2]})"),
            "s.json: timestep 1 has a count or a squared error below 0");
}

}  // namespace
}  // namespace ito::test
