// SPDX-License-Identifier: Apache-2.0
// One more quantity for a network to predict, planted here: it is trained and sampled from, and no file of the product
// had to know it.
#include <gtest/gtest.h>

#include "engine/diffusion/forward_rows.h"
#include "engine/ops/ops.h"
#include "engine/training/trainer.h"

namespace ito {
namespace {

// Half of the image with a quarter of the noise on it.
constexpr Quantity::Line kPlanted{"planted",
                                  [](const StateAt&) -> Combination {
                                    return {0.5, 0.25};
                                  },
                                  [](const StateAt& at) { return at.sigma; }};

SchedulerConfig planted_config() {
  SchedulerConfig config;
  config.prediction_type = Quantity(&kPlanted);
  return config;
}

TEST(PlantedPrediction, IsTaughtAndReadAsItsLineSays) {
  const NoiseSchedule schedule(planted_config());
  const Levels levels(schedule);
  const Reading reading(schedule.config().prediction_type);
  const std::vector<ForwardRow> rows = forward_rows(levels, reading);
  for (const int t : {0, 500, 999}) {
    const Level level = levels.at(t);
    EXPECT_EQ(rows[t].target_x0, 0.5f);
    EXPECT_EQ(rows[t].target_eps, 0.25f);
    EXPECT_EQ(rows[t].weight, static_cast<float>(level.sigma));
    // x0 and eps come back from x and the right answer.
    const double x0 = 0.7, eps = -1.3;
    const double x = level.alpha * x0 + level.sigma * eps, answer = 0.5 * x0 + 0.25 * eps;
    const CallAt call = reading.call(level);
    EXPECT_NEAR(call.x0.from_x * x + call.x0.from_given * answer, x0, 1e-12);
    EXPECT_NEAR(call.eps.from_x * x + call.eps.from_given * answer, eps, 1e-12);
  }
}

// A network that is one bias learns the mean of its target: 0.5 of the constant image, whatever the noise.
TEST(PlantedPrediction, IsTrained) {
  Network network;
  network.image = {4, 4, 1};
  network.out_channels = 1;
  network.append = [](Program& program, const NetworkInputs& in) {
    Conv2dOptions options = pointwise_options(1, false);
    const Value nothing = affine(program, "nothing", in.sample, 0, 0);
    return conv2d(program, "only", nothing, options);
  };
  TrainSettings settings;
  settings.batch = 16;
  settings.learning_rate.peak = 0.05;
  settings.learning_rate.steps = 300;
  settings.learning_rate.warmup_steps = 0;
  settings.optimizer.weight_decay = 0;
  Trainer trainer(network, NoiseSchedule(planted_config()), settings);
  trainer.set_weights(initial_weights(trainer.layout(), 1));
  const std::vector<float> images(16 * 16, 0.8f);
  for (int step = 0; step < 300; ++step) trainer.step(images.data(), nullptr);
  const std::vector<float> weights = trainer.download(Trainer::Arena::Weights);
  // The target's noise is 0.25 a pixel, 256 pixels a step: with Adam's steps shrinking to 0, a few hundredths.
  EXPECT_NEAR(weights[trainer.layout().find("only.bias").offset], 0.4, 0.03);
}

}  // namespace
}  // namespace ito
