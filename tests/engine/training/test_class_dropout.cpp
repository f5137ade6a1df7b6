// SPDX-License-Identifier: Apache-2.0
// Training with classes left out has the bits of training on labels that the host left out by the same draws, in one
// pass or in several.
#include <gtest/gtest.h>

#include "engine/training/trainer.h"
#include "kernels/random/philox.h"
#include "tests/engine/user_error.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kBatch = 8, kSteps = 2, kNone = 3;
constexpr uint64_t kSeed = 41;

TrainSettings settings_with(float dropout, int micro_batch) {
  TrainSettings settings;
  settings.batch = kBatch * images_per_chunk() / 4;
  settings.micro_batch = micro_batch;
  settings.seed = kSeed;
  settings.learning_rate = {2e-3, learning_rate_of("constant", ""), 0, 100};
  settings.class_dropout = dropout;
  return settings;
}

NoiseSchedule schedule() {
  SchedulerConfig config;
  config.num_train_timesteps = 100;
  return NoiseSchedule(config);
}

// dropped: how many labels the host left out; null: it leaves them all.
std::vector<float> trained(const TrainSettings& settings, int* dropped) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})");
  Trainer trainer(network, schedule(), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  for (int step = 0; step < kSteps; ++step) {
    std::vector<int32_t> labels(settings.batch);
    for (int i = 0; i < settings.batch; ++i) {
      labels[i] = i % 3;
      if (!dropped) continue;
      const Random4 bits = philox4x32(kSeed, 0, 0, static_cast<uint32_t>(step * settings.batch + i), 15);
      if (uniform01(bits.v[0]) >= 0.5f) continue;
      labels[i] = kNone;
      ++*dropped;
    }
    const auto numbers = static_cast<size_t>(settings.batch * network.image.size());
    trainer.step(draws(numbers, 1000 + static_cast<uint64_t>(step)).data(), labels.data());
  }
  return trainer.download(Trainer::Arena::Weights);
}

TEST(ClassDropout, IsTrainingOnLabelsLeftOut) {
  int dropped = 0;
  const std::vector<float> want = trained(settings_with(0, 0), &dropped);
  EXPECT_GT(dropped, 2);  // of 16
  EXPECT_LT(dropped, kSteps * settings_with(0, 0).batch - 2);
  EXPECT_EQ(trained(settings_with(0.5f, 0), nullptr), want);
  EXPECT_EQ(trained(settings_with(0.5f, images_per_chunk()), nullptr), want);
}

TEST(ClassDropout, NeedsAClassToLeaveOut) {
  const std::string message =
      "class_dropout 0.5: the network has no classes to leave out; take a model with a class embedding for none "
      "besides";
  for (const char* overrides : {"{}", R"({"num_class_embeds": 1})"})
    EXPECT_EQ(user_error([&] { Trainer(tiny_network(overrides), schedule(), settings_with(0.5f, 0)); }), message);
}

}  // namespace
}  // namespace ito::test
