// SPDX-License-Identifier: Apache-2.0
// Training with a draw of levels that follows the losses: its state is the same however a step is cut, goes on from
// where it was, and is what plain loops make of the losses; a fixed draw and a weighting reach the rows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/ops/ops.h"
#include "engine/training/trainer.h"
#include "kernels/diffusion/level_losses.h"
#include "tests/engine/user_error.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

using Arena = Trainer::Arena;
constexpr int kLevels = 4;

bool in_sim() {
  return std::string(device_name()) == "sim";
}

SchedulerConfig small_config() {
  SchedulerConfig config;
  config.num_train_timesteps = kLevels;
  return config;
}

TrainSettings settings_of(int batch, const std::string& draw, const std::string& weighting = "none") {
  TrainSettings s;
  s.batch = batch;
  s.seed = 41;
  s.learning_rate = {2e-3, learning_rate_of("constant", ""), 0, 1000};
  s.level_draw = level_draw_of(draw, Family::Vp, "");
  s.weighting = loss_weighting_of(weighting, small_config(), "");
  return s;
}

// Of as many images as fill the histories of four levels in a few steps.
int batch_size() {
  return 8 * images_per_chunk();
}

std::vector<float> images(const Network& network, int batch, int step) {
  return draws(static_cast<size_t>(batch * network.image.size()), 1000 + static_cast<uint64_t>(step));
}

// A network of one bias: many steps cost nothing.
Network bias_network() {
  Network network;
  network.image = {4, 4, 1};
  network.out_channels = 1;
  network.append = [](Program& program, const NetworkInputs& in) {
    const Value nothing = affine(program, "nothing", in.sample, 0, 0);
    return conv2d(program, "only", nothing, pointwise_options(1, false));
  };
  return network;
}

struct Outcome {
  std::vector<std::vector<float>> arenas;
  TrainState state;
  LevelLosses losses;
};

Outcome outcome_of(Trainer& trainer) {
  Outcome out;
  for (const Arena arena : {Arena::Weights, Arena::Ema, Arena::FirstMoment, Arena::SecondMoment})
    out.arenas.push_back(trainer.download(arena));
  out.state = trainer.state();
  out.losses = trainer.level_losses();
  return out;
}

void expect_same(const Outcome& a, const Outcome& b, const std::string& what) {
  EXPECT_TRUE(a.arenas == b.arenas) << what << ": the arenas";
  EXPECT_EQ(std::memcmp(&a.state, &b.state, sizeof(TrainState)), 0) << what << ": the state";
  EXPECT_EQ(a.losses, b.losses) << what << ": the losses of the levels";
}

Outcome train(const Network& network, const TrainSettings& settings, int steps) {
  Trainer trainer(network, NoiseSchedule(small_config()), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  for (int i = 0; i < steps; ++i) trainer.step(images(network, settings.batch, i).data(), nullptr);
  return outcome_of(trainer);
}

bool has_learnt(const LevelLosses& losses) {
  for (const int32_t count : losses.counts)
    if (count < kLevelHistory) return false;
  return !losses.counts.empty();
}

TEST(LevelSampling, MicroBatchesAndCaptureDoNotChangeTheBits) {
  const Network network = in_sim() ? bias_network() : tiny_network();
  TrainSettings settings = settings_of(batch_size(), "importance");
  const int steps = kSanitized ? 3 : 5;
  const Outcome whole = train(network, settings, steps);
  EXPECT_TRUE(has_learnt(whole.losses)) << "the draw was uniform to the end";
  EXPECT_NE(whole.arenas, train(network, settings_of(batch_size(), "uniform"), steps).arenas);
  for (const int passes : {2, 8}) {
    settings.micro_batch = batch_size() / passes;
    settings.capture = passes == 2;
    expect_same(whole, train(network, settings, steps), join_text(passes, " passes"));
  }
}

TEST(LevelSampling, GoesOnFromItsLosses) {
  const Network network = bias_network();
  const TrainSettings settings = settings_of(batch_size(), "importance");
  constexpr int kSteps = 8;
  for (const int stop : {1, 5}) {  // while the draw is uniform, and after
    Trainer first(network, NoiseSchedule(small_config()), settings);
    first.set_weights(busy_weights(first.layout(), 5));
    for (int i = 0; i < stop; ++i) first.step(images(network, settings.batch, i).data(), nullptr);
    const Outcome kept = outcome_of(first);
    EXPECT_EQ(has_learnt(kept.losses), stop == 5);
    Trainer second(network, NoiseSchedule(small_config()), settings);
    second.upload(Arena::Weights, kept.arenas[0]);
    second.upload(Arena::Ema, kept.arenas[1]);
    second.upload(Arena::FirstMoment, kept.arenas[2]);
    second.upload(Arena::SecondMoment, kept.arenas[3]);
    second.set_state(kept.state);
    second.set_level_losses(kept.losses);
    for (int i = stop; i < kSteps; ++i) {
      first.step(images(network, settings.batch, i).data(), nullptr);
      second.step(images(network, settings.batch, i).data(), nullptr);
    }
    expect_same(outcome_of(first), outcome_of(second), join_text("from step ", stop));
    first.set_weights(busy_weights(first.layout(), 5));  // a new run has learnt nothing
    EXPECT_EQ(first.level_losses().counts, std::vector<int32_t>(kLevels, 0));
  }
}

// Weights that do not move (a learning rate of next to nothing) have an expected loss that no draw may change: means of
// many steps of both draws agree to five deviations of the two, and importance has the lower spread over its levels.
TEST(LevelSampling, TheExpectedLossStays) {
  if (kSanitized) GTEST_SKIP() << "many steps, none of which is new to a sanitizer";
  const Network network = bias_network();
  const int steps = in_sim() ? 60 : 300, settling = 20;
  const auto mean_loss = [&](const char* draw, double& deviation) {
    TrainSettings settings = settings_of(batch_size(), draw, "snr");
    settings.learning_rate.peak = 1e-30;
    SchedulerConfig config = small_config();
    config.prediction_type = Quantity::x0();  // SNR on x0: losses of very different sizes
    Trainer trainer(network, NoiseSchedule(config), settings);
    trainer.set_weights(busy_weights(trainer.layout(), 5));
    double sum = 0, squares = 0;
    for (int i = 0; i < steps; ++i) {
      trainer.step(images(network, settings.batch, 0).data(), nullptr);
      const double loss = trainer.state().last_loss;
      if (i >= settling) sum += loss, squares += loss * loss;
    }
    const double n = steps - settling, mean = sum / n;
    deviation = std::sqrt((squares / n - mean * mean) / n);
    return mean;
  };
  double uniform_deviation = 0, importance_deviation = 0;
  const double uniform = mean_loss("uniform", uniform_deviation),
               importance = mean_loss("importance", importance_deviation);
  EXPECT_NEAR(importance, uniform, 5 * std::hypot(uniform_deviation, importance_deviation));
  EXPECT_LT(importance_deviation, 0.5 * uniform_deviation);
}

TEST(LevelSampling, ASkippedStepLeavesNoTrace) {
  const Network network = bias_network();
  const TrainSettings settings = settings_of(batch_size(), "importance");
  SchedulerConfig config = small_config();
  config.prediction_type = Quantity::x0();  // the loss then holds the square of the image itself
  Trainer trainer(network, NoiseSchedule(config), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  trainer.step(images(network, settings.batch, 0).data(), nullptr);
  const LevelLosses before = trainer.level_losses();
  std::vector<float> poisoned = images(network, settings.batch, 1);
  poisoned[7] = 3e38f;
  trainer.step(poisoned.data(), nullptr);
  EXPECT_EQ(trainer.state().skipped, 1);
  EXPECT_EQ(trainer.level_losses(), before);
  trainer.step(images(network, settings.batch, 2).data(), nullptr);
  EXPECT_NE(trainer.level_losses(), before);
}

// A weight that is the same at every level scales the loss alone, and a draw of one level teaches that level.
TEST(LevelSampling, WeightsAndFixedDrawsReachTheLoss) {
  const Network network = bias_network();
  const auto first_loss = [&](const TrainSettings& settings) {
    Trainer trainer(network, NoiseSchedule(small_config()), settings);
    trainer.set_weights(busy_weights(trainer.layout(), 5));
    trainer.step(images(network, settings.batch, 0).data(), nullptr);
    EXPECT_TRUE(trainer.level_losses().counts.empty());
    return trainer.state().last_loss;
  };
  const double plain = first_loss(settings_of(8, "uniform"));
  EXPECT_EQ(first_loss(settings_of(8, "uniform", "snr")), plain);  // 1 on eps
  // All of the chance at the last level: the loss is that of its rows, p2's weight there and nowhere else.
  const double noisiest = first_loss(settings_of(8, "logit-normal:mean=100"));
  const double abar = NoiseSchedule(small_config()).abar(Step::from_timestep(kLevels - 1)), snr = abar / (1 - abar);
  EXPECT_NEAR(first_loss(settings_of(8, "logit-normal:mean=100", "p2:k=1,gamma=1")), noisiest / (1 + snr),
              8 * 0x1p-24 * noisiest);
}

TEST(LevelSampling, LossesOfAnotherDrawAreRefused) {
  const Network network = bias_network();
  Trainer uniform(network, NoiseSchedule(small_config()), settings_of(8, "uniform"));
  Trainer importance(network, NoiseSchedule(small_config()), settings_of(8, "importance"));
  uniform.set_level_losses({});
  const std::string where = "timestep_sampling importance:uniform=0.001: the training state has ";
  EXPECT_EQ(user_error([&] { importance.set_level_losses({}); }), where + "losses of 0 levels; expected 4");
  LevelLosses losses{std::vector<float>(4 * kLevelHistory, 1.0f), {0, 1, 2, 20}};
  EXPECT_EQ(user_error([&] { uniform.set_level_losses(losses); }),
            "timestep_sampling uniform: the training state has losses of 4 levels; expected 0");
  const std::string strange =
      where + "a loss of a level that is not finite, or a count outside 0 to 19; go on from another checkpoint";
  EXPECT_EQ(user_error([&] { importance.set_level_losses(losses); }), strange);
  losses.counts.back() = 19;
  importance.set_level_losses(losses);
  EXPECT_EQ(importance.level_losses(), losses);
  losses.losses[7] = NAN;
  EXPECT_EQ(user_error([&] { importance.set_level_losses(losses); }), strange);
}

}  // namespace
}  // namespace ito::test
