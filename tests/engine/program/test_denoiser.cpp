// SPDX-License-Identifier: Apache-2.0
// A network planned for a batch: it answers what a program of it answers, bit for bit, and pulls back the same. That
// the pull-back is the derivative is shown by finite differences in tests/models/unet/test_gradients.cpp.
#include "engine/program/denoiser.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kImages = 2;
constexpr float kTimesteps[kImages] = {3.0f, 617.0f};
constexpr int32_t kLabels[kImages] = {2, 0};

std::vector<uint8_t> bytes_of(Stream& stream, ConstDataRef from, int64_t count) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count) * size_of(from.type));
  copy_to_host(stream, bytes.data(), from.data, bytes.size());
  return bytes;
}

// Numbers whose bits mean something in either type: bf16 values, widened for fp32.
void put(Stream& stream, DataRef to, const std::vector<float>& values) {
  if (to.type == DType::F32) {
    copy_to_device(stream, to.data, values.data(), values.size() * sizeof(float));
    return;
  }
  std::vector<uint16_t> upper;
  for (float v : values) upper.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(v) >> 16));
  copy_to_device(stream, to.data, upper.data(), upper.size() * sizeof(uint16_t));
}

class DenoiserTest : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override { set_device_threads(1); }  // the network is too small for more
  void TearDown() override { set_device_threads(0); }
  DenoiserTest() : network_(tiny_network(R"({"num_class_embeds": 3})")) {
    const std::vector<float> host = busy_weights(parameters_of(network_), 17);
    weights_ = {host.size(), "weights"};
    weights_.upload(stream_, host.data());
    sample_ = draws(count(), 3, 1.5f);
    cotangent_ = draws(count(), 4);
  }
  int64_t count() const { return kImages * network_.image.size(); }
  Denoiser make(Denoiser::Gradient gradient) {
    Denoiser denoiser(network_, kImages, GetParam(), gradient);
    denoiser.bind(weights_.data());
    denoiser.pack(stream_);
    put(stream_, denoiser.sample(), sample_);
    copy_to_device(stream_, denoiser.timestep(), kTimesteps, sizeof kTimesteps);
    copy_to_device(stream_, denoiser.labels().as<int32_t>(), kLabels, sizeof kLabels);
    return denoiser;
  }

  Network network_;
  Stream stream_;
  DeviceBuffer<float> weights_;
  std::vector<float> sample_, cotangent_;
};

TEST_P(DenoiserTest, AnswersAndPullsBackAsTheProgram) {
  if (GetParam() == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products here";
  Program program({kImages, Mode::InputGradient, GetParam()});
  const NetworkInputs inputs = plan_network(program, network_);
  program.bind(weights_.data(), nullptr);
  program.pack(stream_);
  put(stream_, program.data(inputs.sample), sample_);
  copy_to_device(stream_, program.data(inputs.timestep).as<float>(), kTimesteps, sizeof kTimesteps);
  copy_to_device(stream_, program.data(inputs.labels).as<int32_t>(), kLabels, sizeof kLabels);
  program.forward(stream_);
  const std::vector<uint8_t> answer = bytes_of(stream_, program.data(program.output()), count());
  put(stream_, program.gradient(program.output()), cotangent_);
  program.backward(stream_);
  const std::vector<uint8_t> gradient = bytes_of(stream_, program.gradient(inputs.sample), count());

  Denoiser denoiser = make(Denoiser::Gradient::Input);
  for (int again = 0; again < 2; ++again) {  // the inputs keep what they hold
    denoiser.evaluate(stream_);
    EXPECT_EQ(bytes_of(stream_, denoiser.prediction(), count()), answer);
    put(stream_, denoiser.cotangent(), cotangent_);
    denoiser.pull_back(stream_);
    EXPECT_EQ(bytes_of(stream_, denoiser.input_gradient(), count()), gradient);
  }
  Denoiser forward = make(Denoiser::Gradient::None);
  forward.evaluate(stream_);
  EXPECT_EQ(bytes_of(stream_, forward.prediction(), count()), answer);
}

TEST_P(DenoiserTest, PlansBeforeItAllocates) {
  const size_t before = device_bytes_in_use();
  Denoiser denoiser(network_, kImages, GetParam());
  EXPECT_EQ(device_bytes_in_use(), before);
  denoiser.bind(weights_.data());
  EXPECT_EQ(device_bytes_in_use(), before + denoiser.planned_bytes());
}

// Calls of images at their own times, and the gradient of the sample, through which no time goes.
TEST_P(DenoiserTest, ImagesTakeTheirOwnRowsOfTimes) {
  if (GetParam() == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products here";
  Denoiser plain = make(Denoiser::Gradient::Input);
  Denoiser ahead(network_, kImages, GetParam(), Denoiser::Gradient::Input, {kTimesteps[1], 40, 40, kTimesteps[0]});
  EXPECT_LT(ahead.program().ops().size(), plain.program().ops().size());
  ahead.bind(weights_.data());
  ahead.pack(stream_);
  put(stream_, ahead.sample(), sample_);
  copy_to_device(stream_, ahead.labels().as<int32_t>(), kLabels, sizeof kLabels);
  const int64_t host_calls[kImages] = {3, 0};
  DeviceBuffer<int64_t> calls(kImages, "calls");
  calls.upload(stream_, host_calls);
  ahead.take_times(stream_, calls.data());
  for (int again = 0; again < 2; ++again) {  // what was taken stands
    std::vector<std::vector<uint8_t>> answers, gradients;
    for (Denoiser* denoiser : {&plain, &ahead}) {
      denoiser->evaluate(stream_);
      answers.push_back(bytes_of(stream_, denoiser->prediction(), count()));
      put(stream_, denoiser->cotangent(), cotangent_);
      denoiser->pull_back(stream_);
      gradients.push_back(bytes_of(stream_, denoiser->input_gradient(), count()));
    }
    EXPECT_EQ(answers[0], answers[1]);
    EXPECT_EQ(gradients[0], gradients[1]);
  }
}

// What depends on the time alone, made once for all times: a call then has the bits of one that makes it itself.
TEST(Denoiser, RowsOfTimesMadeAheadChangeNoBit) {
  const std::vector<float> times = {999, 500, 17, 17, 1};
  for (
      const char* overrides :
      {"{}", R"({"time_embedding_type": "fourier"})", R"({"num_class_embeds": 3})",
       R"({"time_embedding_type": "learned", "num_train_timesteps": 1000, "resnet_time_scale_shift": "scale_shift"})"}) {
    Stream stream;
    const Network network = tiny_network(overrides);
    const std::vector<float> host = busy_weights(parameters_of(network), 17);
    DeviceBuffer<float> weights(host.size(), "weights");
    DeviceBuffer<int64_t> call(1, "call");
    Denoiser plain(network, kImages, DType::F32), ahead(network, kImages, DType::F32, Denoiser::Gradient::None, times);
    EXPECT_LT(ahead.program().ops().size(), plain.program().ops().size()) << overrides;
    EXPECT_EQ(ahead.program().layout(), plain.program().layout()) << overrides;
    const int64_t count = kImages * network.image.size();
    for (Denoiser* denoiser : {&plain, &ahead}) {
      denoiser->bind(weights.data());
      put(stream, denoiser->sample(), draws(count, 3, 1.5f));
      if (denoiser->labels()) copy_to_device(stream, denoiser->labels().as<int32_t>(), kLabels, sizeof kLabels);
    }
    for (const float factor : {1.0f, 0.5f}) {  // other weights, packed anew, make other rows
      std::vector<float> scaled = host;
      for (float& w : scaled) w *= factor;
      weights.upload(stream, scaled.data());
      for (Denoiser* denoiser : {&plain, &ahead}) denoiser->pack(stream);
      for (int64_t at = static_cast<int64_t>(times.size()) - 1; at >= 0; at -= 2) {
        call.upload(stream, &at);
        std::vector<std::vector<uint8_t>> answers;
        for (Denoiser* denoiser : {&plain, &ahead}) {
          const std::vector<float> t(kImages, times[at]);
          copy_to_device(stream, denoiser->timestep(), t.data(), t.size() * sizeof(float));
          denoiser->take_time(stream, call.data());
          denoiser->evaluate(stream);
          answers.push_back(bytes_of(stream, denoiser->prediction(), count));
        }
        EXPECT_EQ(answers[0], answers[1]) << overrides << ", call " << at;
      }
    }
  }
}

TEST(Denoiser, PlansItsRowsOfTimesToo) {
  const Network network = tiny_network();
  DeviceBuffer<float> weights(parameters_of(network).arena_floats(), "weights");
  const size_t before = device_bytes_in_use();
  Denoiser denoiser(network, kImages, DType::F32, Denoiser::Gradient::None, std::vector<float>(50, 1.0f));
  EXPECT_EQ(device_bytes_in_use(), before);
  denoiser.bind(weights.data());
  EXPECT_EQ(device_bytes_in_use(), before + denoiser.planned_bytes());
  EXPECT_LT(denoiser.planned_bytes(), Denoiser(network, kImages, DType::F32).planned_bytes() + 50 * 4 * 1000)
      << "images of the rows, which nobody asks for, would take more";
  std::vector<float> climbs;
  for (int call = 0; call < 1000; ++call) climbs.push_back(static_cast<float>(call % 2));
  const size_t twice = Denoiser(network, kImages, DType::F32, Denoiser::Gradient::None, {0, 1}).planned_bytes();
  EXPECT_EQ(Denoiser(network, kImages, DType::F32, Denoiser::Gradient::None, climbs).planned_bytes(), twice + 998 * 4)
      << "a call at a time that was there takes its number alone";
}

INSTANTIATE_TEST_SUITE_P(Types, DenoiserTest, ::testing::Values(DType::F32, DType::BF16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(Denoiser, WithoutAGradientItHasNoneToGive) {
  Stream stream;
  Denoiser denoiser(tiny_network(), kImages, DType::F32);
  const std::vector<float> host = busy_weights(parameters_of(denoiser.network()), 17);
  DeviceBuffer<float> weights(host.size(), "weights");
  weights.upload(stream, host.data());
  denoiser.bind(weights.data());
  EXPECT_FALSE(denoiser.cotangent());
  EXPECT_FALSE(denoiser.input_gradient());
  EXPECT_FALSE(denoiser.labels()) << "a network without labels has no place for them";
  EXPECT_THROW(denoiser.pull_back(stream), Error);
}

}  // namespace
}  // namespace ito::test
