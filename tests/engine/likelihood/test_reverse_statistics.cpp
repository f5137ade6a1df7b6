// SPDX-License-Identifier: Apache-2.0
// What is measured of a network on held-out images, against the network asked alone and fp64 sums.
#include "engine/likelihood/reverse_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/reverse/predictor.h"
#include "models/model_on_device.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/program/time_in_every_call.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/engine/user_error.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

SchedulerConfig eight_timesteps() {
  SchedulerConfig config;
  config.num_train_timesteps = 8;
  return config;
}

std::vector<float> images_for(const Network& network, int count) {
  std::vector<float> images(count * network.image.size());
  for (size_t i = 0; i < images.size(); ++i) images[i] = std::sin(0.7f * static_cast<float>(i));
  return images;
}

TEST(ReverseStatistics, AreTheNetworksOwnErrors) {
  Model model;
  const NoiseSchedule schedule(eight_timesteps());
  const int64_t size = model.network.image.size();
  const std::vector<float> images = images_for(model.network, 3);
  StatisticsSettings settings;
  settings.seed = 5;
  settings.per_timestep = 2;
  const LevelStatistics found =
      measure_reverse_statistics(model.network, model.weights.data(), schedule, images, {}, settings);
  const Levels levels(schedule);
  for (int timestep = 0; timestep < 8; ++timestep) {
    EXPECT_EQ(found.images[timestep], 2);
    double error = 0, product = 0, square = 0;
    const Level level = levels.at(timestep);
    const Posterior q = gaussian_posterior(level.abar, levels.at(timestep - 1).abar);
    for (int k = 0; k < 2; ++k) {
      const int draw = timestep + 8 * k;
      const std::vector<double> eps = ref::normals(5, 0, draw, purpose_word(Purpose::Noise), 1, size);
      std::vector<float> x(size);
      for (int64_t i = 0; i < size; ++i)
        x[i] = static_cast<float>(level.alpha * images[draw % 3 * size + i] + level.sigma * eps[i]);
      const std::vector<float> answer =
          predict(model.network, model.weights.data(), DType::F32, 1, x, {static_cast<float>(timestep)}, {});
      for (int64_t i = 0; i < size; ++i) {
        const double d = (x[i] - level.sigma * answer[i]) / level.alpha;
        const double mean = q.from_x0 * images[draw % 3 * size + i] + q.from_x * x[i];
        error += (eps[i] - answer[i]) * (eps[i] - answer[i]) / static_cast<double>(size);
        product += (mean - d) * (x[i] - d) / static_cast<double>(size);
        square += (x[i] - d) * (x[i] - d) / static_cast<double>(size);
      }
    }
    // The state is rounded to fp32 on either side of the network, which does not blow that up by more than tens.
    EXPECT_NEAR(found.error[timestep] / error, 1, 1e-4) << timestep;
    EXPECT_NEAR(found.mix_square[timestep] / square, 1, 1e-4) << timestep;
    EXPECT_NEAR(found.mix_product[timestep], product, 1e-4 * (square + error)) << timestep;
  }
}

TEST(ReverseStatistics, DoNotKnowTheirBatchNorHowOftenATimeIsLookedAt) {
  Model model, every;
  every.network = time_in_every_call(every.network);
  const NoiseSchedule schedule(eight_timesteps());
  const std::vector<float> images = images_for(model.network, 5);
  StatisticsSettings one, all;
  one.batch = 1, one.per_timestep = 3;
  all.batch = 7, all.per_timestep = 3;
  int64_t done = 0;
  const LevelStatistics a = measure_reverse_statistics(model.network, model.weights.data(), schedule, images, {}, one);
  const LevelStatistics b = measure_reverse_statistics(model.network, model.weights.data(), schedule, images, {}, all,
                                                       [&](int64_t now) { done = now; });
  const LevelStatistics c = measure_reverse_statistics(every.network, every.weights.data(), schedule, images, {}, all);
  for (const LevelStatistics* other : {&b, &c}) {
    EXPECT_EQ(a.error, other->error);
    EXPECT_EQ(a.mix_product, other->mix_product);
    EXPECT_EQ(a.mix_square, other->mix_square);
  }
  EXPECT_EQ(done, 24);
}

// E[eps | x_t] = sigma x_t, which leaves alpha (alpha eps - sigma x0): s_t^2 = abar_t, and alpha knows its level.
TEST(ReverseStatistics, OfStandardNormalDataAreAbar) {
  const TempFolder folder;
  const std::string file = folder.write("m.json", json_text({{"_class_name", "GaussianMixture"},
                                                             {"shape", {1, 2, 2}},
                                                             {"weights", {1}},
                                                             {"means", {{0, 0, 0, 0}}},
                                                             {"variances", {1}}}));
  const Network network = load_model(file, 0, 0).network;
  const NoiseSchedule schedule(eight_timesteps());
  StatisticsSettings settings;
  settings.per_timestep = 100;
  std::vector<float> images;
  for (const double value : ref::normals(1, 0, 0, purpose_word(Purpose::Mixture), 800, 4))
    images.push_back(static_cast<float>(value));
  const LevelStatistics found = measure_reverse_statistics(network, nullptr, schedule, images, {}, settings);
  // A mean of 400 squares of normals: five of its standard errors.
  for (int timestep = 0; timestep < 8; ++timestep)
    EXPECT_NEAR(found.error_at(timestep, "test") / schedule.abar(Step::from_timestep(timestep)), 1,
                5 * std::sqrt(2.0 / 400))
        << timestep;
}

TEST(ReverseStatistics, AreOfAChain) {
  Model model;
  SchedulerConfig config = eight_timesteps();
  config.family = Family::Ve;
  EXPECT_EQ(user_error([&] {
              measure_reverse_statistics(model.network, model.weights.data(), NoiseSchedule(config),
                                         images_for(model.network, 1), {}, {});
            }),
            "reverse statistics: a ve model has no chain of timesteps; use a model of tabled betas");
}

}  // namespace
}  // namespace ito::test
