// SPDX-License-Identifier: Apache-2.0
// The reverse loop as a whole: image i is a function of (seed, i) alone, and each step is the one in fp64.
#include "engine/reverse/reverse_process.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/reverse/predictor.h"
#include "engine/samplers/sampler.h"
#include "kernels/diffusion/noising.h"
#include "tests/models/unet/tiny_unet.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

constexpr uint64_t kSeed = 77;
constexpr int kSteps = 3;

struct Model {
  explicit Model(const std::string& overrides = "{}") : network(tiny_network(overrides)) {
    const std::vector<float> host = busy_weights(parameters_of(network), 9);
    weights = {host.size(), "weights"};
    weights.upload(stream, host.data());
  }
  Network network;
  Stream stream;
  DeviceBuffer<float> weights;
};

std::vector<ReverseCoefficients> table_of(const char* sampler, int steps = kSteps, double eta = 0) {
  SamplerSettings settings;
  settings.steps = steps;
  settings.eta = eta;
  return make_sampler(sampler)->table(NoiseSchedule(SchedulerConfig{}), settings);
}

// Images first .. first+count-1 in batches of `batch` (a divisor of count).
std::vector<float> sample(Model& model, const char* sampler, int batch, int64_t first, int count, bool capture = true) {
  ReverseSettings settings;
  settings.batch = batch;
  settings.seed = kSeed;
  settings.capture = capture;
  ReverseProcess process(model.network, table_of(sampler), model.weights.data(), settings);
  const int64_t row = model.network.image.size();
  std::vector<float> out(count * row);
  std::vector<int32_t> labels(batch);
  for (int i = 0; i < count; i += batch) {
    for (int k = 0; k < batch; ++k) labels[k] = static_cast<int32_t>((first + i + k) % 3);
    process.run(first + i, nullptr, labels.data(), out.data() + i * row);
  }
  return out;
}

class ReverseLoop : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { set_device_threads(0); }
};

TEST_P(ReverseLoop, CapturedEqualsEager) {
  Model model(R"({"num_class_embeds": 3})");
  const std::vector<float> captured = sample(model, GetParam(), 2, 0, 4),
                           eager = sample(model, GetParam(), 2, 0, 4, false);
  EXPECT_EQ(captured, eager);
  for (float x : captured) ASSERT_TRUE(std::isfinite(x));
}

TEST_P(ReverseLoop, AnImageIsAFunctionOfItsNumber) {
  Model model(R"({"num_class_embeds": 3})");
  const int64_t row = model.network.image.size();
  const std::vector<float> all = sample(model, GetParam(), 8, 0, 8);
  EXPECT_EQ(sample(model, GetParam(), 1, 0, 8), all) << "one at a time";
  EXPECT_EQ(sample(model, GetParam(), 3, 0, 6), std::vector<float>(all.begin(), all.begin() + 6 * row)) << "by threes";
  EXPECT_EQ(sample(model, GetParam(), 3, 5, 3), std::vector<float>(all.begin() + 5 * row, all.end())) << "from 5 on";
  EXPECT_NE(std::vector<float>(all.begin(), all.begin() + row),
            std::vector<float>(all.begin() + row, all.begin() + 2 * row));
  // A sampler may be asked for image 2^32 - 1 as for any other.
  EXPECT_EQ(sample(model, GetParam(), 2, 4294967294, 2), [&] {
    std::vector<float> two = sample(model, GetParam(), 1, 4294967294, 1);
    const std::vector<float> second = sample(model, GetParam(), 1, 4294967295, 1);
    two.insert(two.end(), second.begin(), second.end());
    return two;
  }());
}

TEST_P(ReverseLoop, ThreadsDoNotChangeTheBits) {
  Model model;
  set_device_threads(1);
  const std::vector<float> one = sample(model, GetParam(), 3, 0, 3);
  for (int threads : {2, 5}) {
    set_device_threads(threads);
    EXPECT_EQ(sample(model, GetParam(), 3, 0, 3), one) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Samplers, ReverseLoop, ::testing::Values("ddpm", "ddim"));

TEST(ReverseProcess, GivenNoiseIsTheDrawnNoise) {
  Model model;
  const int n = 2;
  ReverseSettings settings;
  settings.batch = n;
  settings.seed = kSeed;
  ReverseProcess process(model.network, table_of("ddpm"), model.weights.data(), settings);
  const size_t count = static_cast<size_t>(n * model.network.image.size());
  std::vector<float> drawn(count), given(count), noise(count), other(count);
  process.run(10, nullptr, nullptr, drawn.data());
  DeviceBuffer<float> device_noise(count, "noise");
  SampleCounter counter;
  counter.seed = kSeed;
  counter.first = 10;
  fill_normal(model.stream, device_noise.data(), counter, purpose_word(Purpose::InitialNoise), n,
              model.network.image.size());
  device_noise.download(model.stream, noise.data());
  process.run(10, noise.data(), nullptr, given.data());
  EXPECT_EQ(given, drawn);
  noise[5] += 1.0f;
  process.run(10, noise.data(), nullptr, other.data());
  EXPECT_NE(other, drawn);
}

// Each step from the state before it: the network once by predict(), the update in fp64 with the noise of the counter.
// predict() gives the very bits of the network in the loop, so what is left is the update's own rounding: 16u of its
// terms (as in the kernel's test), and the noise's: fast_log and fast_sincos are right to a few 1e-6 of its size.
class ReverseStepByStep : public ::testing::TestWithParam<std::pair<const char*, double>> {};

TEST_P(ReverseStepByStep, MatchesFp64) {
  const auto [sampler, eta] = GetParam();
  Model model(R"({"num_class_embeds": 3})");
  const int n = 3;
  const int64_t row = model.network.image.size(), first = 20;
  ReverseSettings settings;
  settings.batch = n;
  settings.seed = kSeed;
  const std::vector<ReverseCoefficients> table = table_of(sampler, kSteps, eta);
  ReverseProcess process(model.network, table, model.weights.data(), settings);
  const int32_t labels[n] = {2, 0, 1};
  const std::vector<float> float_labels = {2, 0, 1};
  std::vector<float> out(n * row);
  std::vector<std::vector<float>> states;
  process.run(first, nullptr, labels, out.data(), [&](int step) {
    EXPECT_EQ(step, static_cast<int>(states.size()));
    states.push_back(process.state());
  });
  ASSERT_EQ(states.size(), static_cast<size_t>(kSteps));
  EXPECT_EQ(states.back(), out);

  const std::vector<double> initial =
      ref::normals(kSeed, 0, static_cast<uint32_t>(first), purpose_word(Purpose::InitialNoise), n, row);
  std::vector<float> x(n * row);
  DeviceBuffer<float> device_noise(x.size(), "noise");
  SampleCounter counter;
  counter.seed = kSeed;
  counter.first = first;
  fill_normal(model.stream, device_noise.data(), counter, purpose_word(Purpose::InitialNoise), n, row);
  device_noise.download(model.stream, x.data());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], initial[i], 1e-5);

  bool noisy = false;
  for (int step = 0; step < kSteps; ++step) {
    const ReverseCoefficients& k = table[step];
    const std::vector<float> pred =
        predict(model.network, model.weights.data(), DType::F32, n, x, std::vector<float>(n, k.timestep), float_labels);
    const std::vector<double> z = ref::normals(kSeed, static_cast<uint32_t>(step), static_cast<uint32_t>(first),
                                               purpose_word(Purpose::ReverseNoise), n, row);
    noisy = noisy || k.noise_std > 0;
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const ref::Reversed want = ref::reverse_element(k, x[i], pred[i], 0, z[i]);
      const double allowed = 16 * 0x1p-24 * want.magnitude + 5e-6 * static_cast<double>(k.noise_std);
      worst = std::max(worst, std::fabs(states[step][i] - want.next) / allowed);
    }
    EXPECT_LE(worst, 1) << sampler << " step " << step << ", in units of what is allowed";
    x = states[step];
  }
  EXPECT_EQ(noisy, std::string(sampler) == "ddpm" || eta > 0);
}

INSTANTIATE_TEST_SUITE_P(Samplers, ReverseStepByStep,
                         ::testing::Values(std::pair{"ddpm", 0.0}, std::pair{"ddim", 0.0}, std::pair{"ddim", 1.0}));

TEST(ReverseProcess, LearnedVarianceNeedsItsOutputs) {
  Model model(R"({"out_channels": 6})");
  std::vector<ReverseCoefficients> table = table_of("ddpm");
  EXPECT_THROW(ReverseProcess(model.network, table, model.weights.data(), {}), UserError)
      << "a table without learned variance for a network with it";
  for (ReverseCoefficients& row : table) row.learned_variance = 1, row.log_beta = -4, row.log_beta_tilde = -5;
  ReverseSettings settings;
  settings.batch = 1;
  ReverseProcess process(model.network, table, model.weights.data(), settings);
  std::vector<float> out(model.network.image.size());
  process.run(0, nullptr, nullptr, out.data());
  for (float x : out) ASSERT_TRUE(std::isfinite(x));
  Model plain;
  EXPECT_THROW(ReverseProcess(plain.network, table, plain.weights.data(), {}), UserError);
  Model valued(R"({"class_embed_type": "timestep"})");
  EXPECT_THROW(ReverseProcess(valued.network, table_of("ddpm"), valued.weights.data(), {}), UserError);
}

TEST(ReverseProcess, Bf16StaysNearFp32) {
  if (!device_has_bf16()) GTEST_SKIP() << "this device has no bf16 products";
  Model model;
  ReverseSettings settings;
  settings.batch = 2;
  settings.seed = kSeed;
  std::vector<float> fp32(2 * model.network.image.size()), bf16(fp32.size());
  ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings).run(0, nullptr, nullptr, fp32.data());
  settings.compute = DType::BF16;
  ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings).run(0, nullptr, nullptr, bf16.data());
  double squares = 0;
  for (size_t i = 0; i < fp32.size(); ++i) squares += std::pow(fp32[i] - bf16[i], 2) / static_cast<double>(fp32.size());
  EXPECT_LT(std::sqrt(squares), 0.1);
  EXPECT_NE(fp32, bf16);
}

}  // namespace
}  // namespace ito::test
