// SPDX-License-Identifier: Apache-2.0
// A step without a finite gradient leaves no trace in what is trained: only its number and the counts move on.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/training/trainer.h"
#include "models/unet/unet.h"

namespace ito {
namespace {

Trainer small_trainer() {
  UNetConfig c;
  c.in_channels = c.out_channels = 1;
  c.block_out_channels = {4, 8};
  c.down_block_types = {"DownBlock2D", "DownBlock2D"};
  c.up_block_types = {"UpBlock2D", "UpBlock2D"};
  c.layers_per_block = 1;
  c.norm_num_groups = 2;
  TrainSettings settings;
  settings.batch = 4;
  settings.learning_rate.warmup_steps = 0;
  settings.learning_rate.steps = 8;
  SchedulerConfig scheduler;
  scheduler.prediction_type = Quantity::x0();  // the loss then holds the square of the image itself
  return Trainer(unet_network(c, 8, 8), NoiseSchedule(scheduler), settings);
}

std::vector<float> images(int batch) {
  std::vector<float> x(4 * 64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(std::sin(0.3 * static_cast<double>(i) + batch));
  return x;
}

std::vector<std::vector<float>> arenas_of(Trainer& trainer) {
  return {trainer.download(Trainer::Arena::Weights), trainer.download(Trainer::Arena::FirstMoment),
          trainer.download(Trainer::Arena::SecondMoment), trainer.download(Trainer::Arena::Ema)};
}

void expect_skipped(float poison) {
  Trainer trainer = small_trainer();
  trainer.set_weights(initial_weights(trainer.layout(), 1));
  trainer.step(images(0).data(), nullptr);
  const std::vector<std::vector<float>> before = arenas_of(trainer);
  const TrainState good = trainer.state();
  ASSERT_EQ(good.applied, 1);

  std::vector<float> bad = images(1);
  bad[100] = poison;
  for (int64_t in_row = 1; in_row <= 2; ++in_row) {
    trainer.step(bad.data(), nullptr);
    const TrainState state = trainer.state();
    EXPECT_EQ(state.step, 1 + in_row);
    EXPECT_EQ(state.applied, 1);
    EXPECT_EQ(state.skipped, in_row);
    EXPECT_EQ(state.skipped_in_row, in_row);
    EXPECT_EQ(state.loss_sum, good.loss_sum);
    EXPECT_EQ(state.loss_count, 1);
    EXPECT_EQ(state.beta1_power, good.beta1_power);
    EXPECT_EQ(state.ema_decay, good.ema_decay);
  }
  EXPECT_EQ(arenas_of(trainer), before);

  trainer.step(images(2).data(), nullptr);
  const TrainState after = trainer.state();
  EXPECT_EQ(after.applied, 2);
  EXPECT_EQ(after.skipped, 2);
  EXPECT_EQ(after.skipped_in_row, 0);
  EXPECT_TRUE(std::isfinite(after.gradient_norm));
  EXPECT_NE(arenas_of(trainer)[0], before[0]);
}

TEST(SkippedSteps, NotANumberInOneImage) {
  expect_skipped(std::numeric_limits<float>::quiet_NaN());
}

TEST(SkippedSteps, AValueWhoseSquareOverflows) {
  expect_skipped(3e38f);
}

}  // namespace
}  // namespace ito
