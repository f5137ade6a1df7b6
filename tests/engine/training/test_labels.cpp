// SPDX-License-Identifier: Apache-2.0
// Training on labels: classes left out have the bits of labels that the host left out by the same draws, and
// real-valued labels those of the same rows in a table, in one pass or in several.
#include <gtest/gtest.h>

#include <algorithm>

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

// A row of real numbers that is added to the time's is what a table of classes has at the class: the same step, bit for
// bit, of all weights but the table, in one pass or two.
TEST(RealValuedLabels, AreRowsOfATable) {
  const Network classes = tiny_network(R"({"num_class_embeds": 3})"),
                rows = tiny_network(R"({"class_embed_type": "identity"})");
  TrainSettings settings = settings_with(0, 0);
  settings.optimizer.max_gradient_norm = 0;  // the table's gradient has no part in the norm
  Trainer with_table(classes, schedule(), settings);
  const std::vector<float> weights = busy_weights(with_table.layout(), 5);
  with_table.set_weights(weights);
  std::vector<int32_t> labels;
  for (int i = 0; i < settings.batch; ++i) labels.push_back(i % 3);
  const std::vector<float> x = draws(static_cast<size_t>(settings.batch * classes.image.size()), 1000);
  with_table.step(x.data(), labels.data());
  const std::vector<float> want = with_table.download(Trainer::Arena::Weights);
  const Parameter& table = with_table.layout().find("class_embedding.weight");
  const int width = rows.label_width;
  ASSERT_EQ(table.count(), 3 * width);
  std::vector<float> values;
  for (const int32_t label : labels)
    values.insert(values.end(), weights.begin() + table.offset + label * width,
                  weights.begin() + table.offset + (label + 1) * width);
  for (const int micro : {0, images_per_chunk()}) {
    settings.micro_batch = micro;
    Trainer trainer(rows, schedule(), settings);
    std::vector<float> start(trainer.layout().arena_floats());
    for (const Parameter& p : trainer.layout().all())
      std::copy_n(weights.begin() + with_table.layout().find(p.name).offset, p.count(), start.begin() + p.offset);
    trainer.set_weights(start);
    trainer.step(x.data(), LabelRows(values.data()));
    EXPECT_EQ(trainer.state().last_loss, with_table.state().last_loss);
    const std::vector<float> got = trainer.download(Trainer::Arena::Weights);
    for (const Parameter& p : trainer.layout().all())
      EXPECT_TRUE(std::equal(got.begin() + p.offset, got.begin() + p.offset + p.count(),
                             want.begin() + with_table.layout().find(p.name).offset))
          << p.name;
  }
}

}  // namespace
}  // namespace ito::test
