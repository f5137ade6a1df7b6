// SPDX-License-Identifier: Apache-2.0
// The training step as a whole: the same bits however it is cut, what it computes against fp64, what it refuses to
// apply.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/checkpoint/snapshot.h"
#include "engine/training/trainer.h"
#include "kernels/seams/memory_limit.h"
#include "tests/engine/program/batch_ops.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

using Arena = Trainer::Arena;
constexpr Arena kKept[] = {Arena::Weights, Arena::Ema, Arena::FirstMoment, Arena::SecondMoment};

bool in_sim() {
  return std::string(device_name()) == "sim";
}

NoiseSchedule small_schedule() {
  SchedulerConfig config;
  config.num_train_timesteps = 100;
  return NoiseSchedule(config);
}

TrainSettings small_settings(int batch) {
  TrainSettings s;
  s.batch = batch;
  s.seed = 41;
  s.learning_rate = {2e-3, learning_rate_of("constant", ""), 0, 1000};
  return s;
}

struct Outcome {
  std::vector<std::vector<float>> arenas;
  TrainState state;
  std::vector<double> losses;
};

// Images of step i, the same for everyone.
std::vector<float> images(const Network& network, int batch, int step) {
  return draws(static_cast<size_t>(batch * network.image.size()), 1000 + static_cast<uint64_t>(step));
}

std::vector<int32_t> labels_of(const Network& network, int batch) {
  std::vector<int32_t> labels(network.labels == LabelKind::Index ? batch : 0);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i) % network.classes;
  return labels;
}

Outcome train(const Network& network, const TrainSettings& settings, int steps) {
  Trainer trainer(network, small_schedule(), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  const std::vector<int32_t> labels = labels_of(network, settings.batch);
  Outcome out;
  for (int i = 0; i < steps; ++i) {
    trainer.step(images(network, settings.batch, i).data(), labels.data());
    out.losses.push_back(trainer.state().last_loss);
  }
  for (Arena arena : kKept) out.arenas.push_back(trainer.download(arena));
  out.state = trainer.state();
  return out;
}

void expect_same_bits(const std::string& what, const Outcome& a, const Outcome& b) {
  for (size_t k = 0; k < a.arenas.size(); ++k) {
    size_t differing = 0;
    for (size_t i = 0; i < a.arenas[k].size(); ++i)
      differing += std::memcmp(&a.arenas[k][i], &b.arenas[k][i], sizeof(float)) != 0;
    EXPECT_EQ(differing, 0u) << what << ": arena " << k << " of " << a.arenas[k].size();
  }
  EXPECT_EQ(std::memcmp(&a.state, &b.state, sizeof(TrainState)), 0) << what << ": the state";
  EXPECT_EQ(a.losses, b.losses) << what;
  EXPECT_EQ(a.state.skipped, 0) << what;
}

// Sizes below are written for partial gradients of 4 images; where they cover more, the sizes grow with them.
int scaled(int images) {
  return images * images_per_chunk() / 4;
}

class TrainingStep : public ::testing::Test {
 protected:
  // On a cpu the network is too small for more than one thread to pay.
  void SetUp() override { set_device_threads(in_sim() ? 0 : 1); }
  void TearDown() override { set_device_threads(0); }
};

TEST_F(TrainingStep, CapturedEqualsEager) {
  for (const char* overrides : {"{}", R"({"num_class_embeds": 3, "dropout": 0.2})"}) {
    const Network network = tiny_network(overrides);
    TrainSettings settings = small_settings(scaled(8));
    settings.micro_batch = scaled(4);
    const int steps = kSanitized ? 2 : 3;
    const Outcome captured = train(network, settings, steps);
    settings.capture = false;
    expect_same_bits(overrides, captured, train(network, settings, steps));
    EXPECT_EQ(captured.state.step, steps);
    EXPECT_EQ(captured.state.applied, steps);
    if (kSanitized) break;
  }
}

TEST_F(TrainingStep, ThreadsDoNotChangeTheBits) {
  const Network network = tiny_network(R"({"num_class_embeds": 3, "dropout": 0.2})");
  const TrainSettings settings = small_settings(8);
  set_device_threads(1);
  const int steps = kSanitized ? 1 : 2;
  const Outcome one = train(network, settings, steps);
  for (int threads : {2, 5}) {
    set_device_threads(threads);
    expect_same_bits(join_text(threads, " threads"), one, train(network, settings, steps));
  }
}

TEST_F(TrainingStep, MicroBatchesDoNotChangeTheBits) {
  const int batch = scaled(in_sim() ? 8 : 16);
  for (const char* overrides : {R"({"num_class_embeds": 3, "dropout": 0.2})",
                                R"({"time_embedding_type": "learned", "num_train_timesteps": 100,
                                    "resnet_time_scale_shift": "scale_shift"})"}) {
    const Network network = tiny_network(overrides);
    TrainSettings settings = small_settings(batch);
    const int steps = kSanitized ? 1 : 2;
    const Outcome whole = train(network, settings, steps);
    for (int micro : {scaled(4), scaled(8)}) {
      settings.micro_batch = micro;
      if (micro < batch)
        expect_same_bits(join_text("micro-batches of ", micro), whole, train(network, settings, steps));
    }
  }
}

// Every way to cut a batch into passes, down to one chunk a pass: the sums over images are one tree of the batch's
// chunks. 64 images are a whole tree of 16 chunks, 52, 36 and 44 have passes at their end that are not.
TEST_F(TrainingStep, EveryCutOfTheBatchGivesTheSameBits) {
  if (in_sim() || kSanitized) GTEST_SKIP() << "the same roads as above, of more images";
  const Network network = tiny_network(R"({"num_class_embeds": 3, "dropout": 0.2})");
  for (const int batch : {64, 52, 36, 44}) {
    TrainSettings settings = small_settings(scaled(batch));
    const Outcome whole = train(network, settings, 2);
    for (const int micro : {4, 8, 12, 16, 20, 32, 40, 48, 64}) {
      if (micro >= batch) continue;
      settings.micro_batch = scaled(micro);
      expect_same_bits(join_text(batch, " images in passes of ", micro), whole, train(network, settings, 2));
    }
  }
}

TEST_F(TrainingStep, PassesThatAreNoSubtreeAreSmallerAndSaySo) {
  static std::string said;
  const WarningSink before = warning_sink.exchange([](const std::string& text) { said += text; });
  const Network network = tiny_network();
  for (const auto& [micro, images] : {std::pair{12, 8}, {20, 16}, {8, 8}, {24, 24}}) {
    said.clear();
    TrainSettings settings = small_settings(scaled(24));
    settings.micro_batch = scaled(micro);
    EXPECT_EQ(Trainer(network, small_schedule(), settings).program().options().n, scaled(images));
    EXPECT_EQ(said, micro == images ? ""
                                    : join_text("micro_batch ", scaled(micro), ": the passes take ", scaled(images),
                                                " images, ", images_per_chunk(), " times a power of two"));
  }
  warning_sink = before;
}

// What a pass keeps beside the gradients: the sums of finished subtrees, log2(passes) more arenas at most.
TEST_F(TrainingStep, PassesTakeOneMoreArenaADoubling) {
  const Network network = tiny_network();
  const auto memory = [&](int batch, int micro) {
    TrainSettings settings = small_settings(scaled(batch));
    settings.micro_batch = scaled(micro);
    const Trainer trainer(network, small_schedule(), settings);
    const auto arena = static_cast<int64_t>(sizeof(float)) * trainer.layout().trainable_floats();
    const auto rest = static_cast<int64_t>(trainer.program().plan().bytes());
    return static_cast<double>(static_cast<int64_t>(trainer.planned_bytes()) - rest) / static_cast<double>(arena);
  };
  const double alone = memory(32, 0);
  EXPECT_EQ(memory(32, 32), alone);
  EXPECT_DOUBLE_EQ(memory(32, 16) - alone, 1);
  EXPECT_DOUBLE_EQ(memory(32, 8) - alone, 2);
  EXPECT_DOUBLE_EQ(memory(32, 4) - alone, 3);
}

TEST_F(TrainingStep, SizesThatDoNotFitAreRefused) {
  const Network network = tiny_network();
  const auto refused = [&](int batch, int micro) {
    TrainSettings s = small_settings(batch);
    s.micro_batch = micro;
    EXPECT_THROW(Trainer(network, small_schedule(), s), UserError) << batch << " / " << micro;
  };
  refused(0, 0);
  refused(8, 3);
  refused(8, 2);  // divides, but is no whole partial
  refused(8, -4);
  refused(8, 16);
  EXPECT_THROW(Trainer(network, small_schedule(), small_settings(8), 1000), UserError) << "1000 bytes of memory";
  EXPECT_THROW(Trainer(tiny_network(R"({"out_channels": 6})"), small_schedule(), small_settings(8)), UserError);
}

// Parameters whose batch is not the images' would sum over other leaves than the passes share.
TEST_F(TrainingStep, ABatchRepeatedInsideTheNetworkIsRefused) {
  Network network = tiny_network();
  network.append = [inner = network.append](Program& p, const NetworkInputs& inputs) {
    const NetworkInputs both{repeat(p, "samples", inputs.sample), repeat(p, "timesteps", inputs.timestep), {}, {}};
    return fold(p, "answer", inner(p, both), 1.0f, 1.0f);
  };
  EXPECT_THROW(Trainer(network, small_schedule(), small_settings(8)), Error);
}

TEST_F(TrainingStep, StepsPastTheLearningRatesAreRefused) {
  TrainSettings settings = small_settings(4);
  settings.learning_rate.steps = 1;
  const Network network = tiny_network();
  Trainer trainer(network, small_schedule(), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  const std::vector<float> x0 = images(network, 4, 0);
  trainer.step(x0.data(), nullptr);
  EXPECT_THROW(trainer.step(x0.data(), nullptr), Error);
  TrainState state = trainer.state();
  EXPECT_EQ(state.step, 1);
  state.step = 0;
  trainer.set_state(state);
  trainer.step(x0.data(), nullptr);
}

// 6 images are one partial of 4 and one of 2.
TEST_F(TrainingStep, ARaggedLastPartialIsRight) {
  // The gradient of 6 images is the mean of the gradients of each alone, as long as their noise is the same: image i of
  // a batch of 1 at step i draws as image i of any batch at step 0.
  const Network network = tiny_network(R"({"num_class_embeds": 3})");
  const std::vector<float> x0 = images(network, 6, 0);
  const std::vector<int32_t> labels = labels_of(network, 6);
  Trainer six(network, small_schedule(), small_settings(6));
  const std::vector<float> weights = busy_weights(six.layout(), 5);
  six.set_weights(weights);
  six.step(x0.data(), labels.data());
  const std::vector<float> got = six.download(Arena::Gradients);

  Trainer one(network, small_schedule(), small_settings(1));
  std::vector<double> want(got.size(), 0.0), magnitude(got.size(), 0.0);
  double loss = 0;
  for (int i = 0; i < 6; ++i) {
    one.set_weights(weights);
    TrainState state = one.state();
    state.step = i;
    one.set_state(state);
    one.step(x0.data() + i * network.image.size(), labels.data() + i);
    const std::vector<float> g = one.download(Arena::Gradients);
    for (size_t k = 0; k < want.size(); ++k) {
      want[k] += static_cast<double>(g[k]) / 6;
      magnitude[k] += std::fabs(static_cast<double>(g[k])) / 6;
    }
    loss += one.state().last_loss / 6;
  }
  EXPECT_NEAR(six.state().last_loss, loss, 1e-6 * loss);
  // The same activations, so only the sums differ: over 6 images, and the division by 6 before them rather than after.
  // Each image's part went through a backward whose elements were scaled by 1/6 (not a power of two), some 40 layers of
  // a few roundings each: 64u of the tensor's typical size covers their random walk.
  double largest = 0;
  for (double m : magnitude) largest = std::max(largest, m);
  for (const Parameter& p : six.layout().all()) {
    double error = 0, size = 0;
    for (int64_t i = p.offset; i < p.offset + p.count(); ++i) {
      error += std::pow(got[i] - want[i], 2);
      size += std::pow(magnitude[i], 2);
    }
    EXPECT_LE(std::sqrt(error), 64 * 0x1p-24 * std::sqrt(size) + 1e-7 * largest) << p.name;
  }
}

TEST_F(TrainingStep, TheLossFallsOnAFewConstantImages) {
  if (kSanitized) GTEST_SKIP() << "many steps, none of which is new to a sanitizer";
  const Network network = tiny_network();
  const int steps = in_sim() ? 15 : 80;
  TrainSettings settings = small_settings(8);
  settings.learning_rate.peak = 5e-3;
  Trainer trainer(network, small_schedule(), settings);
  trainer.set_weights(initial_weights(trainer.layout(), 5));
  std::vector<float> x0(8 * network.image.size());
  for (size_t i = 0; i < x0.size(); ++i) x0[i] = i % 3 == 0 ? 0.8f : -0.6f;
  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) {
    trainer.step(x0.data(), nullptr);
    losses.push_back(trainer.state().last_loss);
  }
  double first = 0, last = 0;
  for (int i = 0; i < 5; ++i) {
    first += losses[i] / 5;
    last += losses[steps - 1 - i] / 5;
  }
  EXPECT_NEAR(first, 1, 0.5) << "an untrained network predicts about nothing of noise with variance 1";
  EXPECT_LT(last, (in_sim() ? 0.75 : 0.3) * first);
  const TrainState state = trainer.state();
  double sum = 0;
  for (double l : losses) sum += l;
  EXPECT_NEAR(state.loss_sum, sum, 1e-9 * sum);
  EXPECT_EQ(state.loss_count, steps);
  trainer.clear_logged();
  EXPECT_EQ(trainer.state().loss_count, 0);
  EXPECT_EQ(trainer.state().loss_sum, 0);
  EXPECT_EQ(trainer.state().step, steps);
}

// Clip, AdamW and EMA of two steps in fp64 from the gradients of the device. Each element passes some ten roundings of
// its terms, the quotient m / sqrt(v) among them: 16u of each term's size.
TEST_F(TrainingStep, TheUpdateIsTheOneInFp64) {
  const Network network = tiny_network();
  for (float most : {1e-2f, 0.0f}) {  // clipping for sure, and off
    TrainSettings settings = small_settings(8);
    settings.optimizer.max_gradient_norm = most;
    settings.optimizer.weight_decay = 0.1f;
    Trainer trainer(network, small_schedule(), settings);
    trainer.set_weights(busy_weights(trainer.layout(), 5));
    const double u = 0x1p-24, b1 = 0.9, b2 = 0.999, rate = static_cast<double>(2e-3f);
    const double weight_decay = static_cast<double>(0.1f), eps = static_cast<double>(1e-8f);
    for (int k = 1; k <= 2; ++k) {
      const std::vector<float> w = trainer.download(Arena::Weights), m = trainer.download(Arena::FirstMoment),
                               v = trainer.download(Arena::SecondMoment), ema = trainer.download(Arena::Ema);
      trainer.step(images(network, 8, k).data(), nullptr);
      const std::vector<float> g = trainer.download(Arena::Gradients), w1 = trainer.download(Arena::Weights),
                               m1 = trainer.download(Arena::FirstMoment), v1 = trainer.download(Arena::SecondMoment),
                               ema1 = trainer.download(Arena::Ema);
      double squares = 0;
      for (float x : g) squares += static_cast<double>(x) * static_cast<double>(x);
      const double norm = std::sqrt(squares), clip = most > 0 ? std::min(1.0, most / (norm + 1e-6)) : 1.0;
      const double decay = std::min(0.9999, 1 - std::pow(1.0 + (k - 1), -0.75));
      EXPECT_NEAR(trainer.state().gradient_norm, norm, 1e-12 * norm);
      EXPECT_TRUE(most == 0 || clip < 0.5) << "this norm, " << norm << ", does not clip";
      size_t worse = 0;
      for (const Parameter& p : trainer.layout().all())
        for (int64_t i = p.offset; i < p.offset + p.count(); ++i) {
          const double gi = clip * g[i], first = (1 - b1) * gi, second = (1 - b2) * gi * gi;
          const double mi = b1 * m[i] + first, vi = b2 * v[i] + second;
          // What the device holds goes into the quotient, which could cancel; so each stage is checked by itself.
          const double step = rate * (m1[i] / (1 - std::pow(b1, k))) / (std::sqrt(v1[i] / (1 - std::pow(b2, k))) + eps);
          const double wi = w[i] * (1 - rate * weight_decay) - step;
          const double ei = decay * ema[i] + (1 - decay) * w1[i];
          worse += !(std::fabs(m1[i] - mi) <= 16 * u * (std::fabs(b1 * m[i]) + std::fabs(first)) + 1e-40);
          worse += !(std::fabs(v1[i] - vi) <= 16 * u * vi + 1e-40);
          worse += !(std::fabs(w1[i] - wi) <= 16 * u * (std::fabs(w[i]) + std::fabs(step)));
          worse += !(std::fabs(ema1[i] - ei) <= 16 * u * (std::fabs(ema[i]) + std::fabs(w1[i])));
        }
      EXPECT_EQ(worse, 0u) << "clip at " << most << ", step " << k;
    }
  }
}

TEST_F(TrainingStep, APoisonedBatchIsSkippedOnTheDevice) {
  const Network network = tiny_network();
  for (const float poison : {std::nanf(""), INFINITY}) {
    for (const bool capture : {true, false}) {
      if (in_sim() && capture != std::isnan(poison)) continue;  // two of the four pairs are enough of sim's time
      TrainSettings settings = small_settings(scaled(8));
      settings.capture = capture;
      settings.micro_batch = scaled(4);
      Trainer trainer(network, small_schedule(), settings);
      trainer.set_weights(busy_weights(trainer.layout(), 5));
      trainer.step(images(network, scaled(8), 0).data(), nullptr);
      const TrainState before = trainer.state();
      std::vector<std::vector<float>> kept;
      for (Arena arena : kKept) kept.push_back(trainer.download(arena));

      std::vector<float> x0 = images(network, scaled(8), 1);
      x0[static_cast<size_t>(network.image.size()) + 7] = poison;  // image 1, in the first micro-batch
      for (int i = 1; i <= 2; ++i) {
        trainer.step(x0.data(), nullptr);
        const TrainState state = trainer.state();
        EXPECT_EQ(state.step, before.step + i);
        EXPECT_EQ(state.applied, before.applied);
        EXPECT_EQ(state.skipped, i);
        EXPECT_EQ(state.skipped_in_row, i);
        EXPECT_EQ(state.loss_count, before.loss_count);
        EXPECT_EQ(state.loss_sum, before.loss_sum);
        EXPECT_EQ(state.beta1_power, before.beta1_power);
      }
      for (size_t k = 0; k < kept.size(); ++k)
        EXPECT_EQ(trainer.download(kKept[k]), kept[k]) << "arena " << k << " changed by a skipped step";

      trainer.step(images(network, scaled(8), 2).data(), nullptr);
      const TrainState after = trainer.state();
      EXPECT_EQ(after.applied, before.applied + 1);
      EXPECT_EQ(after.skipped, 2);
      EXPECT_EQ(after.skipped_in_row, 0);
      EXPECT_TRUE(std::isfinite(after.last_loss));
      EXPECT_NE(trainer.download(Arena::Weights), kept[0]);
      for (float w : trainer.download(Arena::Weights)) ASSERT_TRUE(std::isfinite(w));
    }
  }
}

TEST_F(TrainingStep, Bf16StaysNearFp32) {
  if (!device_has_bf16()) GTEST_SKIP() << "this device has no bf16 products";
  const Network network = tiny_network();
  TrainSettings settings = small_settings(8);
  const int steps = kSanitized ? 1 : 10;
  const Outcome fp32 = train(network, settings, steps);
  settings.compute = DType::BF16;
  const Outcome bf16 = train(network, settings, steps);
  for (int i = 0; i < steps; ++i) EXPECT_NEAR(bf16.losses[i], fp32.losses[i], 3e-2 * fp32.losses[i]) << "step " << i;
  EXPECT_NE(bf16.losses, fp32.losses) << "bf16 was not used";
  EXPECT_EQ(bf16.state.applied, steps);
}

// Micro-batches that do not divide the batch: the last pass has fewer images, in the middle of a partial gradient (13,
// 6 of 4 and 2) or not (12 of 8 and 4).
TEST_F(TrainingStep, ALastMicroBatchThatIsSmallerDoesNotChangeTheBits) {
  const Network network = tiny_network(R"({"num_class_embeds": 3, "dropout": 0.2})");
  const int steps = kSanitized ? 1 : 2;
  for (const auto& [batch, micro] : {std::pair{6, 4}, {12, 8}, {13, 4}, {13, 8}}) {
    if (in_sim() && batch == 13) continue;
    TrainSettings settings = small_settings(scaled(batch));
    const Outcome whole = train(network, settings, steps);
    settings.micro_batch = scaled(micro);
    const std::string what = join_text(batch, " images in micro-batches of ", micro);
    expect_same_bits(what, whole, train(network, settings, steps));
    settings.capture = false;
    expect_same_bits(what + ", not captured", whole, train(network, settings, steps));
  }
}

// The copies that checkpoints take are of the same memory on a host device.
TEST_F(TrainingStep, CheckpointsCountTowardsTheMemory) {
  if (!device_memory_is_the_hosts()) GTEST_SKIP() << "this device has memory of its own";
  const Network network = tiny_network();
  TrainSettings settings = small_settings(8);
  Trainer trainer(network, small_schedule(), settings);
  const size_t planned = trainer.planned_bytes(), copies = checkpoint_copy_bytes(trainer.layout());
  EXPECT_EQ(copies, 7 * sizeof(float) * trainer.layout().arena_floats());
  EXPECT_EQ(checkpoint_copy_bytes(trainer.layout(), 1, 3), 9 * sizeof(float) * trainer.layout().arena_floats());
  Trainer(network, small_schedule(), settings, planned);
  settings.checkpoints = true;
  Trainer(network, small_schedule(), settings, planned + copies);
  try {
    Trainer(network, small_schedule(), settings, planned + copies - 1);
    FAIL() << "a byte too little was enough";
  } catch (const UserError& e) {
    EXPECT_NE(std::string(e.what()).find(", copies for a checkpoint "), std::string::npos) << e.what();
  }
}

// The number that a run is refused by is what it takes.
TEST_F(TrainingStep, PlannedBytesAreWhatTheDeviceHolds) {
  for (const char* overrides : {R"({"num_class_embeds": 3})", "{}", R"({"time_embedding_type": "fourier"})"}) {
    const Network network = tiny_network(overrides);
    for (const int micro : {0, 4}) {  // 4, 4 and 2: two programs
      TrainSettings settings = small_settings(scaled(10));
      settings.micro_batch = scaled(micro);
      settings.optimizer.ema_count = micro ? 3 : 1;
      const size_t before = device_bytes_in_use();
      device_reset_peak();
      Trainer trainer(network, small_schedule(), settings);
      trainer.set_weights(busy_weights(trainer.layout(), 5));
      trainer.step(images(network, scaled(10), 0).data(), labels_of(network, scaled(10)).data());
      trainer.state();
      EXPECT_EQ(device_bytes_in_use() - before, trainer.planned_bytes()) << overrides << ", " << micro;
      // Elsewhere a layer's kernels are tried when it is made, with memory of their own.
      const size_t peak = device_memory_is_the_hosts() ? device_peak_bytes() - before : trainer.planned_bytes();
      EXPECT_EQ(peak, trainer.planned_bytes()) << overrides << ", " << micro;
    }
    if (kSanitized) break;
  }
}

}  // namespace
}  // namespace ito::test
