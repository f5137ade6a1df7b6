// SPDX-License-Identifier: Apache-2.0
// The batches that a thread gathers ahead: in the run's order from wherever it begins, and a trainer that is fed with
// them has the bits of one that is given the images as the host makes them.
#include "engine/training/batch_feed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "engine/training/trainer.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kCount = 10, kBatch = 4;  // 4 does not divide 10: batches straddle epochs

Dataset images(bool bytes) {
  Dataset data;
  data.name = "data";
  data.count = kCount;
  data.height = data.width = kTinySize;
  data.channels = 3;
  for (int64_t i = 0; i < kCount * data.image_size(); ++i) {
    const float v = draw(77, 0, static_cast<uint32_t>(i));
    if (bytes)
      data.pixels.push_back(static_cast<uint8_t>(127.5f + 127.0f * v));
    else
      data.pixels_f32.push_back(v);
  }
  for (int i = 0; i < kCount; ++i) data.labels.push_back(i % 3);
  return data;
}

std::vector<float> on_the_host(const Dataset& data, DataOrder& order, int64_t step, bool flip,
                               std::vector<int32_t>* labels) {
  std::vector<float> batch(kBatch * data.image_size());
  for (int i = 0; i < kBatch; ++i) {
    const int64_t position = step * kBatch + i, index = order.index(position);
    data.image_f32(index, flip && order.flip(position), batch.data() + i * data.image_size());
    labels->push_back(data.labels[index]);
  }
  return batch;
}

TEST(BatchFeed, GivesEveryStepItsImages) {
  Stream stream;
  for (const bool bytes : {true, false}) {
    const Dataset data = images(bytes);
    for (const int64_t first : {0, 3, 1000}) {
      BatchFeed feed(data, 5, kBatch, true, first, first + 7);
      DataOrder order(5, kCount);
      for (int64_t step = first; step < first + 7; ++step) {
        const TrainBatch batch = feed.next(stream);
        for (int i = 0; i < kBatch; ++i) {
          const int64_t index = order.index(step * kBatch + i), size = data.image_size();
          EXPECT_EQ(batch.labels.classes[i], data.labels[index]) << step;
          for (int64_t k = 0; k < size; ++k) {
            if (bytes)
              ASSERT_EQ(batch.bytes[i * size + k], data.pixels[index * size + k]) << step << ", image " << i;
            else
              ASSERT_EQ(batch.numbers[i * size + k], data.pixels_f32[index * size + k]) << step << ", image " << i;
          }
        }
      }
      EXPECT_THROW(feed.next(stream), Error) << "past the last step";
      EXPECT_GE(feed.seconds_waited(), 0);
    }
  }
}

// Keeps the images of another where it is, some for a moment longer, and fails at some.
class Elsewhere : public ImageSource {
 public:
  Elsewhere(Dataset data, std::vector<int64_t> damaged) : data_(std::move(data)), damaged_(std::move(damaged)) {}
  void read(int64_t index, uint8_t* out) const override {
    if (index % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    ++reads;
    if (std::ranges::find(damaged_, index) != damaged_.end()) fail<UserError>("image ", index, " is damaged");
    data_.image_bytes(index, out);
  }
  int64_t run() const override { return 3; }
  mutable std::atomic<int> reads{0};

 private:
  Dataset data_;
  std::vector<int64_t> damaged_;
};

Dataset elsewhere(std::vector<int64_t> damaged = {}) {
  Dataset data = images(true);
  data.source = std::make_shared<Elsewhere>(data, std::move(damaged));
  data.pixels.clear();
  return data;
}

TEST(BatchFeed, FetchedByThreadsIsTheSame) {
  Stream stream;
  const Dataset held = images(true), fetched = elsewhere();
  for (const int threads : {1, 2, 7}) {
    // A rank's part of the batch, of which alone the images are read.
    BatchFeed want(held, 5, kBatch, {1, 2}, true, 2, 40), got(fetched, 5, kBatch, {1, 2}, true, 2, 40, threads);
    for (int step = 2; step < 40; ++step) {
      const TrainBatch a = want.next(stream), b = got.next(stream);
      ASSERT_TRUE(std::equal(a.bytes, a.bytes + 2 * held.image_size(), b.bytes)) << step << ", " << threads;
      ASSERT_TRUE(std::equal(a.labels.classes, a.labels.classes + 2, b.labels.classes)) << step;
    }
  }
  EXPECT_EQ(static_cast<const Elsewhere&>(*fetched.source).reads, 3 * 38 * 2);
}

TEST(BatchFeed, TheFirstDamagedImageIsToldAndThoseBeforeItAreGiven) {
  Stream stream;
  DataOrder order(5, kCount);
  const int64_t step = 2, first = order.index(step * kBatch + 1), second = order.index(step * kBatch + 3);
  for (int round = 0; round < 20; ++round) {
    const Dataset data = elsewhere({first, second});
    BatchFeed feed(data, 5, kBatch, false, step, 10, 4);
    EXPECT_EQ(
        [&]() -> std::string {
          try {
            feed.next(stream);
          } catch (const UserError& e) {
            return e.what();
          }
          return "nothing was thrown";
        }(),
        join_text("image ", first, " is damaged"));
  }
}

TEST(BatchFeed, MayEndAtAnyTime) {
  Stream stream;
  const Dataset data = images(true), fetched = elsewhere();
  for (int taken = 0; taken < 4; ++taken) {
    BatchFeed feed(fetched, 5, kBatch, false, 0, 100, 3);
    for (int i = 0; i < taken; ++i) feed.next(stream);
  }
  for (int taken = 0; taken < 4; ++taken) {
    BatchFeed feed(data, 5, kBatch, false, 0, 100);
    for (int i = 0; i < taken; ++i) EXPECT_EQ(feed.next(stream).labels.classes, nullptr);
  }
}

TEST(BatchFeed, WhatTheThreadThrowsComesOutOfNext) {
  Stream stream;
  const Dataset data = images(true);
  const int64_t last_epoch = (int64_t{1} << 32) * kCount / kBatch;  // the order's numbers end after it
  BatchFeed feed(data, 5, kBatch, false, last_epoch, last_epoch + 10);
  std::string said;
  try {
    for (int i = 0; i < 10; ++i) feed.next(stream);
  } catch (const Error& e) {
    said = e.what();
  }
  EXPECT_EQ(said, "data order: epoch 4294967296 is beyond 2^32");
}

struct Outcome {
  std::vector<float> weights, ema;
  std::vector<double> losses;
  bool operator==(const Outcome&) const = default;
};

// fed: by a BatchFeed, in two parts, the second as a resumed run would begin; else from the host's floats.
Outcome train(const Dataset& data, bool flip, bool fed, int steps) {
  SchedulerConfig schedule;
  schedule.num_train_timesteps = 20;
  TrainSettings settings;
  settings.batch = kBatch;
  settings.seed = 5;
  settings.learning_rate = {2e-3, learning_rate_of("constant", ""), 0, 100};
  settings.byte_images = fed && data.byte_images();
  settings.flip = fed && flip;
  Trainer trainer(tiny_network(R"({"num_class_embeds": 3})"), NoiseSchedule(schedule), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  Outcome out;
  DataOrder order(5, kCount);
  for (int64_t first = 0; first < steps; first += 2) {
    BatchFeed feed(data, 5, kBatch, true, first, steps);
    for (int64_t step = first; step < std::min<int64_t>(first + 2, steps); ++step) {
      std::vector<int32_t> labels;
      const std::vector<float> batch = on_the_host(data, order, step, flip, &labels);
      if (fed)
        trainer.step(feed.next(trainer.stream()));
      else
        trainer.step(batch.data(), labels.data());
      out.losses.push_back(trainer.state().last_loss);
    }
  }
  out.weights = trainer.download(Trainer::Arena::Weights);
  out.ema = trainer.download(Trainer::Arena::Ema);
  return out;
}

TEST(BatchFeed, TrainsToTheBitsOfTheHostsImages) {
  const int steps = kSanitized ? 2 : 3;
  for (const bool bytes : {true, false}) {
    const Dataset data = images(bytes);
    for (const bool flip : {true, false}) {
      const Outcome want = train(data, flip, false, steps), got = train(data, flip, true, steps);
      EXPECT_TRUE(got == want) << (bytes ? "bytes, " : "floats, ") << (flip ? "flipped" : "as they are");
      if (std::string(device_name()) == "sim") break;  // slow; without flips less of it runs
    }
    if (kSanitized) break;
  }
}

TEST(BatchFeed, ATrainerTakesTheImagesItWasMadeFor) {
  TrainSettings settings;
  settings.batch = kBatch;
  settings.learning_rate.steps = 10;
  settings.byte_images = true;
  SchedulerConfig schedule;
  Trainer trainer(tiny_network(), NoiseSchedule(schedule), settings);
  const std::vector<float> floats(kBatch * trainer.program().info(trainer.program().output()).row());
  EXPECT_THROW(trainer.step(floats.data(), nullptr), Error);
}

}  // namespace
}  // namespace ito::test
