// SPDX-License-Identifier: Apache-2.0
// A guided network beside its two parts, asked apart: by itself without a class and by a smaller network of weights of
// its own; answers to the bit, gradients, variances that are not guided, and what it makes of times ahead.
#include "engine/program/guided_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/ops/ops.h"
#include "engine/program/denoiser.h"
#include "engine/reverse/predictor.h"
#include "kernels/seams/ranges.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kImages = 3;
constexpr GuidanceWeight kWeight{.weight = 2.5f, .from = 20, .to = 800};  // for the last two images
const std::vector<float> kTimes{900, 500, 20}, kLabels{2, 0, 1}, kNone{3, 3, 3};
using Floats = std::vector<float>;

Floats host_weights(const Network& network, uint64_t seed) {
  return busy_weights(parameters_of(network), seed);
}

class Weights {
 public:
  explicit Weights(const Floats& host) : buffer_(host.size(), "weights") {
    Stream stream;
    buffer_.upload(stream, host.data());
  }
  operator const float*() const { return buffer_.data(); }

 private:
  DeviceBuffer<float> buffer_;
};

Floats ask(const Network& network, const float* weights, const Floats& labels, int batch = kImages,
           DType compute = DType::F32) {
  const auto size = static_cast<size_t>(network.image.size());
  return predict(network, weights, compute, batch, draws(kImages * size, 3, 1.5f), kTimes, labels);
}

// As the kernel has it, in fp32.
Floats joined(const Floats& main, const Floats& other, int main_channels, int other_channels, int channels) {
  Floats want = main;
  const size_t image = main.size() / kImages;
  for (size_t i = 0; i < main.size(); ++i) {
    const size_t pixel = i / main_channels, c = i % main_channels;
    if (c < static_cast<size_t>(channels) && i / image > 0)
      want[i] = std::fmaf(1.5f, main[i] - other[pixel * other_channels + c], main[i]);
  }
  return want;
}

class GuidedNetwork : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }  // the networks are too small for more
  void TearDown() override { set_device_threads(0); }
};

TEST_F(GuidedNetwork, IsLedAwayFromItselfWithoutAClass) {
  for (const char* overrides : {R"({"num_class_embeds": 4})", R"({"num_class_embeds": 4, "out_channels": 6})"}) {
    const Network network = tiny_network(overrides), both = guided(network, {kWeight, {}});
    EXPECT_EQ(both.classes, 3);
    EXPECT_EQ(parameters_of(both), parameters_of(network));
    const Weights weights(host_weights(network, 5));
    const int channels = network.out_channels;
    const Floats answer = ask(both, weights, kLabels);
    EXPECT_EQ(answer, joined(ask(network, weights, kLabels), ask(network, weights, kNone), channels, channels, 3));
    EXPECT_EQ(ask(both, weights, kLabels, 1), answer);
    EXPECT_EQ(ask(guided(network, {always(1), {}}), weights, kLabels), ask(network, weights, kLabels));
  }
  Network of_three = tiny_network(R"({"num_class_embeds": 4})");
  of_three.null_class = of_three.classes = 3;  // an architecture with an embedding besides its classes
  EXPECT_EQ(guided(of_three, {kWeight, {}}).classes, 3);
  const Weights weights(host_weights(of_three, 5));
  EXPECT_EQ(ask(guided(of_three, {kWeight, {}}), weights, kLabels),
            joined(ask(of_three, weights, kLabels), ask(of_three, weights, kNone), 3, 3, 3));
  EXPECT_THROW(guided(tiny_network(), {kWeight, {}}), Error) << "there is no class to leave out";
  EXPECT_THROW(guided(tiny_network(R"({"num_class_embeds": 1})"), {kWeight, {}}), Error);
}

// A guide with a narrower lower level, with classes and without.
TEST_F(GuidedNetwork, IsLedAwayFromAWorseOne) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})");
  for (const char* overrides : {R"({"num_class_embeds": 4, "block_out_channels": [8, 8]})",
                                R"({"block_out_channels": [8, 8], "out_channels": 6})"}) {
    const Network guide = tiny_network(overrides), both = guided(network, {kWeight, guide});
    EXPECT_EQ(both.classes, 4);
    const ParameterLayout layout = parameters_of(both), own = parameters_of(network), others = parameters_of(guide);
    EXPECT_EQ(layout.all().size(), own.all().size() + others.all().size());
    const Floats own_host = host_weights(network, 5), others_host = host_weights(guide, 6);
    Floats host(layout.arena_floats());
    const auto put = [&](const ParameterLayout& from, const std::string& prefix, const Floats& values) {
      for (const Parameter& p : from.all())
        std::copy_n(values.begin() + p.offset, p.count(), host.begin() + layout.find(prefix + p.name).offset);
    };
    put(own, "", own_host);
    put(others, "guide.", others_host);
    const Floats labels = guide.labels == LabelKind::None ? Floats{} : kLabels;
    EXPECT_EQ(ask(both, Weights(host), kLabels),
              joined(ask(network, Weights(own_host), kLabels), ask(guide, Weights(others_host), labels), 3,
                     guide.out_channels, 3));
  }
  Network fewer = tiny_network();
  fewer.time = {.rows = 10, .positive = false, .why = "it has ten"};
  const TimeDomain time = guided(network, {kWeight, fewer}).time;
  EXPECT_EQ(time.rows, 10);
  EXPECT_EQ(time.why, "its guide: it has ten");
}

// (d answer / d sample)^T v, with the answer; times, if any, made ahead. known: told that the calls are at kTimes.
std::pair<Floats, Floats> pulled(const Network& network, const float* weights, const std::vector<int32_t>& labels,
                                 const Floats& factors, const Floats& ahead = {}, bool known = false) {
  Stream stream;
  Denoiser denoiser(network, kImages, DType::F32, Denoiser::Gradient::Input, ahead);
  denoiser.bind(weights);
  denoiser.pack(stream);
  const auto count = static_cast<size_t>(kImages * network.image.size());
  const auto put = [&](void* to, const auto& values) {
    copy_to_device(stream, to, values.data(), values.size() * sizeof(values[0]));
  };
  const auto get = [&](const void* from) {
    Floats values(count);
    copy_to_host(stream, values.data(), from, count * sizeof(float));
    return values;
  };
  put(denoiser.sample().data, draws(count, 3, 1.5f));
  put(denoiser.timestep(), kTimes);
  put(denoiser.labels().data, labels);
  DeviceBuffer<int64_t> calls(kImages, "calls");
  const int64_t numbers[kImages] = {0, 1, 2};
  calls.upload(stream, numbers);
  denoiser.take_times(stream, calls.data());
  if (known) denoiser.expect_times(kTimes);
  denoiser.evaluate(stream);
  const Floats answer = get(denoiser.prediction().data);
  Floats v = draws(count, 4);
  for (size_t i = 0; i < count; ++i) v[i] *= factors[i / (count / kImages)];
  put(denoiser.cotangent().data, v);
  denoiser.pull_back(stream);
  return {answer, get(denoiser.input_gradient().data)};
}

TEST_F(GuidedNetwork, PullsBackThroughBothAnswers) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})"), both = guided(network, {kWeight, {}});
  const Weights weights(host_weights(network, 5));
  const std::vector<int32_t> labels{2, 0, 1};
  const auto [answer, gradient] = pulled(both, weights, labels, {1, 1, 1});
  const Floats main = pulled(network, weights, labels, {1, 2.5f, 2.5f}).second,
               other = pulled(network, weights, {3, 3, 3}, {0, -1.5f, -1.5f}).second;
  for (size_t i = 0; i < gradient.size(); ++i)  // one sum of two, in some order of their parts
    EXPECT_NEAR(gradient[i], main[i] + other[i], 0x1p-18 * (std::fabs(main[i]) + std::fabs(other[i]) + 1)) << i;
  const auto [answer_ahead, gradient_ahead] = pulled(both, weights, labels, {1, 1, 1}, kTimes);
  EXPECT_EQ(answer_ahead, answer);
  EXPECT_EQ(gradient_ahead, gradient);
}

// Where the weight is 1 for all images, the network's own answer and pull-back, to the bit; where it is for some, all
// is made, known or not.
TEST_F(GuidedNetwork, LeavesOutWhatCountsForNothing) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})");
  const Weights weights(host_weights(network, 5));
  const std::vector<int32_t> labels{2, 0, 1};
  const auto of = [&](const GuidanceWeight& weight, const Floats& ahead, bool known) {
    const Network both = guided(network, {weight, {}});
    std::pair<Floats, Floats> found;
    timeline_start();
    found = pulled(both, weights, labels, {1, 1, 1}, ahead, known);
    const int64_t answers = std::ranges::count(timeline_take(), "conv_in", &TimelineEvent::name) / 2;  // and backwards
    const bool all = !known || weight.from == kWeight.from;
    EXPECT_EQ(answers, all ? 2 : 1) << weight.from << " " << known;
    return found;
  };
  const GuidanceWeight nowhere{.weight = 2.5f, .from = 901, .to = 1000};
  for (const Floats& ahead : {Floats{}, kTimes}) {
    const auto plain = pulled(network, weights, labels, {1, 1, 1}, ahead);
    for (const GuidanceWeight& weight : {nowhere, always(1)}) EXPECT_EQ(of(weight, ahead, true), plain);
    EXPECT_EQ(of(nowhere, ahead, false), plain);
    EXPECT_EQ(of(kWeight, ahead, true), of(kWeight, ahead, false));
  }
  // Guided once more: either answer may be wanted.
  const Network twice = guided(guided(network, {kWeight, {}}), {.weight = {3, 850, 1000}, .guide = network});
  EXPECT_FALSE(twice.aside_idle(900));
  EXPECT_FALSE(twice.aside_idle(500));
  EXPECT_TRUE(twice.aside_idle(10));
}

// What is left out may not be the first to write a gradient that others add to.
TEST_F(GuidedNetwork, IsAppendedBehindTheOther) {
  Network network = tiny_network();
  network.append = [inner = network.append](Program& program, const NetworkInputs& inputs) {
    const Value answer = inner(program, inputs);
    program.set_aside(true);
    const Value other = inner(program, inputs);
    program.set_aside(false);
    return guided_answer(program, "guidance", answer, other, inputs.timestep, 3, always(2));
  };
  EXPECT_NO_THROW(Denoiser(network, 1, DType::F32));
  EXPECT_THROW(Denoiser(network, 1, DType::F32, Denoiser::Gradient::Input), Error);
}

// The answers are numbers of bf16, and so is what is made of them; the sum between is fp32's.
TEST_F(GuidedNetwork, InBf16) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})"), both = guided(network, {kWeight, {}});
  const Weights weights(host_weights(network, 5));
  const auto asked = [&](const Network& n, const Floats& labels) { return ask(n, weights, labels, 2, DType::BF16); };
  Floats want = joined(asked(network, kLabels), asked(network, kNone), 3, 3, 3);
  for (float& value : want) {  // ties to even
    const auto bits = std::bit_cast<uint32_t>(value);
    value = std::bit_cast<float>((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000);
  }
  EXPECT_EQ(asked(both, kLabels), want);
  EXPECT_EQ(asked(guided(network, {always(1), {}}), kLabels), asked(network, kLabels));
}

// Asked twice, a network has its packed weights once; a guide has its own.
TEST_F(GuidedNetwork, HasItsPackedWeightsOnce) {
  const Network network = tiny_network(R"({"num_class_embeds": 4})");
  const auto packed = [](const Network& n) {
    return Denoiser(n, kImages, DType::F32).program().plan().bytes_of(BlockKind::PackedWeights);
  };
  const size_t alone = packed(network), kBlock = 256;  // of the weight and its interval, rounded up
  EXPECT_EQ(packed(guided(network, {kWeight, {}})), alone + kBlock);
  EXPECT_EQ(packed(guided(network, {kWeight, network})), 2 * alone + kBlock);
}

}  // namespace
}  // namespace ito::test
