// SPDX-License-Identifier: Apache-2.0
// The variational bound where all of it is known: term by term of standard normal data, whose reverse chain is exact;
// of Gaussian mixtures between their log p and what information theory lets a chain lose; and of a network whose
// answers are asked for alone.
#include "engine/likelihood/variational_bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/likelihood/reverse_statistics.h"
#include "engine/reverse/predictor.h"
#include "models/mixture/mixture_config.h"
#include "models/model_on_device.h"
#include "tests/engine/program/time_in_every_call.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/engine/user_error.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

// On one thread: beside other tests a second one waits more than it helps.
class VariationalBounds : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }
  void TearDown() override { set_device_threads(0); }
};

const double kLogTwoPi = std::log(2 * std::numbers::pi);

bool is_sim() {
  return std::strcmp(device_name(), "sim") == 0;
}

// T timesteps that end in noise. sim, where a draw takes some hundred times as long, has fewer.
SchedulerConfig chain(VarianceType variance) {
  SchedulerConfig config = unclipped_scheduler();
  config.variance_type = variance;
  if (is_sim()) config.num_train_timesteps = 50, config.beta_end = 0.4;
  return config;
}

std::vector<VariationalRow> rows_of(const SchedulerConfig& config, const char* reverse, BoundTerm last,
                                    const LevelStatistics* statistics = nullptr) {
  const Levels levels{NoiseSchedule(config)};
  return variational_rows({.levels = levels,
                           .config = config,
                           .reverse = reverse_option_named(reverse, "test"),
                           .statistics = statistics,
                           .last = last,
                           .clip = true});
}

struct Oracle {
  explicit Oracle(const Json& file)
      : loaded(load_model(folder.write("m.json", json_text(file)), 0, 0)),
        mixture(mixture_config_from_json(file, "m.json", nullptr).mixture()) {}
  std::vector<float> points(uint64_t seed, int count) const {
    std::vector<float> x;
    for (int i = 0; i < count; ++i)
      for (const double value : mixture.sample(seed, static_cast<uint32_t>(i))) x.push_back(static_cast<float>(value));
    return x;
  }
  VariationalBound bound(const SchedulerConfig& config, const std::vector<VariationalRow>& rows,
                         const std::vector<float>& x) const {
    BoundSettings settings;
    settings.batch = 1000;
    settings.seed = 3;
    return measure_bound(loaded.network, nullptr, NoiseSchedule(config), rows, x, {}, settings);
  }
  TempFolder folder;
  ModelOnDevice loaded;
  GaussianMixture mixture;
};

struct Mean {
  double value, error;  // with its standard error
};
Mean mean_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

// Standard normal data: E[x0 | x_t] = sqrt(abar_t) x_t, and with the variance beta_t the reverse chain is the forward
// one walked back, so that the bound of every point is its -ln p. With a and b from
//   d = m - mu = w (x0 - sqrt(abar) x_t) = w (1 - abar) x0 - w sqrt(abar) sigma eps = a x0 - b eps
// a term's mean and variance over eps are those of (a x0 - b eps)^2 / (2 beta) and a constant.
TEST_F(VariationalBounds, OfStandardNormalDataIsItsDensity) {
  const Oracle oracle({{"_class_name", "GaussianMixture"},
                       {"shape", {3, 1, 1}},
                       {"weights", {1}},
                       {"means", {{0, 0, 0}}},
                       {"variances", {1}}});
  const SchedulerConfig config = chain(VarianceType::FixedLarge);
  const NoiseSchedule schedule(config);
  const Levels levels(schedule);
  const int count = is_sim() ? 6 : 60;
  const std::vector<float> x = oracle.points(5, count);
  const VariationalBound found = oracle.bound(config, rows_of(config, "posterior", BoundTerm::Density), x);
  ASSERT_EQ(found.term.size(), static_cast<size_t>(schedule.steps()));
  std::vector<double> expected(static_cast<size_t>(count), 0), variance = expected;
  for (int timestep = 0; timestep < schedule.steps(); ++timestep) {
    const Level level = levels.at(timestep);
    const Posterior q = gaussian_posterior(level.abar, levels.at(timestep - 1).abar);
    const double a = q.from_x0 * (1 - level.abar), b = q.from_x0 * level.alpha * level.sigma;
    const double apart = timestep == 0 ? 0 : std::log(q.variance / q.beta);
    const double constant = timestep == 0 ? (std::log(q.beta) + kLogTwoPi) / 2 : (std::exp(apart) - 1 - apart) / 2;
    double mean = 0, spread = 0;
    for (int i = 0; i < count; ++i) {
      double term = constant, of_term = 0;
      for (int j = 0; j < 3; ++j) {
        const double at = a * static_cast<double>(x[static_cast<size_t>(3 * i + j)]);
        term += (at * at + b * b) / (2 * q.beta) / 3;
        of_term += (4 * at * at * b * b + 2 * b * b * b * b) / (4 * q.beta * q.beta) / 9;
      }
      expected[static_cast<size_t>(i)] += term, variance[static_cast<size_t>(i)] += of_term;
      mean += term / count, spread += of_term / count / count;
    }
    // Six standard errors; d / sqrt(beta) is within some 1e-6 of what it is in double, since eps is.
    const double rms = std::sqrt((a * a + b * b) / q.beta);
    EXPECT_NEAR(found.term[static_cast<size_t>(timestep)], mean, 6 * std::sqrt(spread) + 4e-6 * rms + 1e-12)
        << "timestep " << timestep;
  }
  for (int i = 0; i < count; ++i) {
    double log_density = 0;
    for (int j = 0; j < 3; ++j) {
      const double value = static_cast<double>(x[static_cast<size_t>(3 * i + j)]);
      log_density -= (value * value + kLogTwoPi) / 2;
    }
    const auto at = static_cast<size_t>(i);
    EXPECT_NEAR(3 * (expected[at] + found.prior[at]), -log_density, 1e-9 * (1 - log_density)) << "the oracle itself";
    EXPECT_NEAR(found.at(at), expected[at] + found.prior[at], 6 * std::sqrt(variance[at]) + 1e-5) << "point " << i;
  }
}

// What a chain with the posterior's variance may lose, in nats a number, from its own terms. Its L_{t-1} is
// w_t mmse(t), mmse the mean squared error of the best estimate of x0 and w_t half of what the signal-to-noise ratio
// grows by, while -ln p has the integral of mmse over half of that ratio (Guo, Shamai and Verdu 2005), which is at
// least w_t mmse(t-1), since mmse falls as the ratio grows. L_0 is the cross-entropy of a normal of variance v, and
// q(x0 | x_1) one of variance mmse(0) but for a hundred-millionth. L_T counts whole.
Mean most_lost(const VariationalBound& bound, const std::vector<VariationalRow>& rows, const Levels& levels) {
  const auto ratio = [&](size_t t) {
    const double abar = levels.at(static_cast<double>(t)).abar;
    return abar / (1 - abar);
  };
  const double v = std::exp(rows[0].log_variance);
  const double first_mmse = v * (2 * bound.term[0] - rows[0].log_variance - kLogTwoPi), r = first_mmse / v;
  double lost = (r - 1 - std::log(r)) / 2, slack = std::fabs(1 - 1 / r) * bound.term_standard_error[0];
  for (size_t t = 1; t < rows.size(); ++t) {
    const double w = (ratio(t - 1) - ratio(t)) / 2, before = t == 1 ? 0 : (ratio(t - 2) - ratio(t - 1)) / 2;
    const double mmse = t == 1 ? first_mmse : bound.term[t - 1] / before;
    const double error = t == 1 ? 2 * v * bound.term_standard_error[0] : bound.term_standard_error[t - 1] / before;
    lost += bound.term[t] - w * mmse;
    slack += bound.term_standard_error[t] + w * error;
  }
  const Mean prior = mean_of(bound.prior);
  return {lost + prior.value, slack};
}

TEST_F(VariationalBounds, OfAMixtureLiesBetweenItsDensityAndWhatAChainMayLose) {
  const SchedulerConfig config = chain(VarianceType::FixedSmall);
  const NoiseSchedule schedule(config);
  const int count = is_sim() ? 8 : 200;
  for (const Json& file : {two_bumps(), three_images()}) {
    const Oracle oracle(file);
    const auto size = static_cast<size_t>(oracle.mixture.size());
    SCOPED_TRACE(join_text(size, " numbers"));
    const std::vector<float> x = oracle.points(7, count);
    const std::vector<VariationalRow> rows = rows_of(config, "posterior", BoundTerm::Density);
    const VariationalBound posterior = oracle.bound(config, rows, x);
    // What the marginal option knows is measured on other draws.
    StatisticsSettings measuring;
    measuring.seed = 8, measuring.per_timestep = is_sim() ? 8 : 50, measuring.batch = 1000;
    const LevelStatistics statistics = measure_reverse_statistics(
        oracle.loaded.network, nullptr, schedule, oracle.points(9, is_sim() ? 400 : 5000), {}, measuring);
    const VariationalBound marginal =
        oracle.bound(config, rows_of(config, "marginal", BoundTerm::Density, &statistics), x);

    std::vector<double> lost, lost_by_marginal, gained;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const std::vector<double> point(x.begin() + static_cast<ptrdiff_t>(i * size),
                                      x.begin() + static_cast<ptrdiff_t>((i + 1) * size));
      const double exact = -oracle.mixture.log_density(point, 1, 0) / static_cast<double>(size);
      lost.push_back(posterior.at(i) - exact);
      lost_by_marginal.push_back(marginal.at(i) - exact);
      gained.push_back(posterior.at(i) - marginal.at(i));
    }
    const Mean loss = mean_of(lost), of_marginal = mean_of(lost_by_marginal), gain = mean_of(gained);
    const Mean most = most_lost(posterior, rows, Levels(schedule));
    EXPECT_GT(loss.value, -5 * loss.error);
    EXPECT_LT(loss.value, most.value + 5 * (loss.error + most.error));
    EXPECT_GT(of_marginal.value, -5 * of_marginal.error);
    EXPECT_GT(gain.value, -5 * gain.error);
    for (const auto& [name, mean] :
         {std::pair{"lost", loss}, {"most", most}, {"marginal", of_marginal}, {"gain", gain}})
      RecordProperty(join_text(name, "_", size), join_text(mean.value, " +- ", mean.error));
    // Most of the loss is the first steps', where the posterior's variance is half of what it should be: more than ten
    // standard errors.
    if (!is_sim()) {
      EXPECT_GT(gain.value, 5 * gain.error);
    }
  }
}

SchedulerConfig eight_timesteps(VarianceType variance = VarianceType::FixedSmall) {
  SchedulerConfig config;
  config.num_train_timesteps = 8;
  config.variance_type = variance;
  return config;
}

std::vector<float> bytes_for(const Network& network, int count) {
  std::vector<float> images(static_cast<size_t>(count * network.image.size()));
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i * 37 % 256) / 127.5f - 1;
  return images;
}

VariationalBound bound_of(const Model& model, const std::vector<float>& images, int batch, int64_t first,
                          const std::vector<int32_t>& labels = {}, const std::function<void(int64_t)>& progress = {},
                          const SchedulerConfig& config = eight_timesteps()) {
  BoundSettings settings;
  settings.batch = batch;
  settings.seed = 5;
  settings.first = first;
  return measure_bound(model.network, model.weights.data(), NoiseSchedule(config),
                       rows_of(config, "vlb", BoundTerm::Bytes), images, labels, settings, progress);
}

// -ln P of a byte under N(mu, s^2), by the complementary error function alone: exact enough within a few s.
double byte_nats(double x0, double mu, double s) {
  const auto above = [&](double edge) { return std::erfc((edge - mu) / s / std::numbers::sqrt2) / 2; };
  const double low = x0 < -0.999 ? 1 : above(x0 - 1.0 / 255), high = x0 > 0.999 ? 0 : above(x0 + 1.0 / 255);
  return -std::log(low - high);
}

class TermsOfANetwork : public VariationalBounds, public ::testing::WithParamInterface<VarianceType> {};

TEST_P(TermsOfANetwork, AreOfItsAnswersAlone) {
  const SchedulerConfig config = eight_timesteps(GetParam());
  const bool learned = GetParam() == VarianceType::LearnedRange;
  const Model model(learned ? R"({"out_channels": 6})" : "{}");
  const Levels levels{NoiseSchedule(config)};
  const int64_t size = model.network.image.size(), channels = model.network.image.channels;
  const std::vector<float> images = bytes_for(model.network, 2);
  const VariationalBound found = bound_of(model, images, 5, 4, {}, {}, config);
  const auto posterior = [&](int timestep) {
    return gaussian_posterior(levels.at(timestep).abar, levels.at(timestep - 1).abar);
  };
  // The state is rounded to fp32 on either side of the network, which does not blow that up by more than tens.
  for (int point = 0; point < 2; ++point) {
    double between = 0, square = 0;
    for (int timestep = 0; timestep < 8; ++timestep) {
      const Level level = levels.at(timestep);
      const Posterior q = posterior(timestep);
      const double small = timestep == 0 ? posterior(1).variance : q.variance;
      const std::vector<double> eps =
          ref::normals(5, 0, static_cast<uint32_t>((4 + point) * 8 + timestep), purpose_word(Purpose::Noise), 1, size);
      std::vector<float> x(static_cast<size_t>(size));
      for (int64_t i = 0; i < size; ++i)
        x[i] = static_cast<float>(level.alpha * images[point * size + i] + level.sigma * eps[i]);
      const std::vector<float> answer =
          predict(model.network, model.weights.data(), DType::F32, 1, x, {static_cast<float>(timestep)}, {});
      double term = 0;
      for (int64_t i = 0; i < size; ++i) {
        const int64_t at = learned ? i + i / channels * channels : i;
        const double x0 = images[point * size + i];
        const double d = std::clamp((x[i] - level.sigma * answer[at]) / level.alpha, -1.0, 1.0);
        const double off = q.from_x0 * (x0 - d), f = learned ? (answer[at + channels] + 1.0) / 2 : 0;
        const double variance = std::pow(q.beta, f) * std::pow(small, 1 - f);
        term += timestep == 0
                    ? byte_nats(x0, d, std::sqrt(variance))
                    : (q.variance / variance - 1 - std::log(q.variance / variance) + off * off / variance) / 2;
      }
      if (timestep == 0) {
        EXPECT_NEAR(found.last[point] * static_cast<double>(size) / term, 1, 1e-4) << "point " << point;
      } else {
        between += term / static_cast<double>(size);
      }
    }
    EXPECT_NEAR(found.between[point] / between, 1, 1e-4);
    for (int64_t i = 0; i < size; ++i) square += std::pow(images[point * size + i], 2) / static_cast<double>(size);
    const double abar = levels.at(7).abar;
    EXPECT_NEAR(found.prior[point], (abar * square - abar - std::log(1 - abar)) / 2, 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Variances, TermsOfANetwork,
                         ::testing::Values(VarianceType::FixedSmall, VarianceType::LearnedRange),
                         [](const auto& of) { return of.param == VarianceType::FixedSmall ? "fixed" : "learned"; });

TEST_F(VariationalBounds, DoesNotKnowItsBatch) {
  Model model(R"({"num_class_embeds": 3})");
  const std::vector<float> images = bytes_for(model.network, 5);
  const std::vector<int32_t> labels = {2, 0, 1, 1, 2};
  std::vector<int64_t> done;
  const VariationalBound one = bound_of(model, images, 1, 10, labels);
  const VariationalBound some = bound_of(model, images, 7, 10, labels, [&](int64_t terms) { done.push_back(terms); });
  EXPECT_EQ(one.between, some.between);
  EXPECT_EQ(one.last, some.last);
  EXPECT_EQ(one.term, some.term);
  EXPECT_EQ(one.term_standard_error, some.term_standard_error);
  EXPECT_EQ(done, (std::vector<int64_t>{0, 7, 14, 21, 28, 35, 40}));
  // Nor how many points stand before it.
  const std::vector<float> later(images.begin() + 3 * model.network.image.size(), images.end());
  const VariationalBound part = bound_of(model, later, 64, 13, {1, 2});
  EXPECT_EQ(part.between, (std::vector<double>{one.between[3], one.between[4]}));
  EXPECT_EQ(part.last, (std::vector<double>{one.last[3], one.last[4]}));
}

// Every image of a batch is at a time of its own, and takes what was made of it once.
TEST_F(VariationalBounds, WhatDependsOnTheTimeAloneIsMadeOnce) {
  for (const char* overrides : {"{}", R"({"num_class_embeds": 3, "resnet_time_scale_shift": "scale_shift"})"}) {
    VariationalBound found[2];
    int64_t makings[2];
    for (const bool every : {false, true}) {
      Model model(overrides);
      if (every) model.network = time_in_every_call(model.network);
      std::vector<int32_t> labels(2, 1);
      if (model.network.labels == LabelKind::None) labels.clear();
      makings[every] =
          makings_of_time([&] { found[every] = bound_of(model, bytes_for(model.network, 2), 5, 4, labels); });
    }
    EXPECT_EQ(found[0].between, found[1].between) << overrides;
    EXPECT_EQ(found[0].last, found[1].last) << overrides;
    EXPECT_EQ(found[0].term, found[1].term) << overrides;
    EXPECT_EQ(makings[0], 1) << overrides;
    EXPECT_EQ(makings[1], 4) << overrides << ": 16 terms, 5 at a time";
  }
}

TEST_F(VariationalBounds, TheTableIsOfAllPoints) {
  Model model;
  const std::vector<float> images = bytes_for(model.network, 4);
  const int64_t size = model.network.image.size();
  const VariationalBound all = bound_of(model, images, 64, 0);
  std::vector<VariationalBound> alone;
  for (int i = 0; i < 4; ++i)
    alone.push_back(bound_of(model, {images.begin() + i * size, images.begin() + (i + 1) * size}, 8, i));
  for (size_t t = 0; t < all.term.size(); ++t) {
    std::vector<double> terms;
    for (const VariationalBound& bound : alone) {
      terms.push_back(bound.term[t]);
      EXPECT_EQ(bound.term_standard_error[t], 0);
    }
    const Mean expected = mean_of(terms);
    EXPECT_NEAR(all.term[t], expected.value, 1e-12 * expected.value);
    EXPECT_NEAR(all.term_standard_error[t], expected.error, 1e-9 * expected.error);
  }
}

TEST_F(VariationalBounds, SaysWhereItIsNotFinite) {
  Model model;
  std::vector<float> weights(parameters_of(model.network).arena_floats(), std::nanf(""));
  model.weights.upload(model.stream, weights.data());
  try {
    bound_of(model, bytes_for(model.network, 1), 4, 6);
    FAIL() << "nothing was said";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("variational bound: point 6: the term of timestep 0 is "), 0u)
        << error.what();
  }
}

TEST_F(VariationalBounds, IsOfAChain) {
  SchedulerConfig config = eight_timesteps();
  config.family = Family::Ve;
  EXPECT_EQ(user_error([&] { rows_of(config, "posterior", BoundTerm::Bytes); }),
            "the variational bound: a ve model has no chain of timesteps; it is for models of tabled betas");
  EXPECT_EQ(user_error([&] { rows_of(eight_timesteps(), "marginal", BoundTerm::Bytes); }),
            "reverse option marginal: needs what was measured of the network by timestep, and the model has no "
            "level_statistics.json; measure it with reverse-stats");
}

}  // namespace
}  // namespace ito::test
