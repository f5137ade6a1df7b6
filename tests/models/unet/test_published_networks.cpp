// SPDX-License-Identifier: Apache-2.0
// UNets of every kind of block as diffusers computes them: names and shapes, output, and both gradients.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/nn/pointwise.h"
#include "tests/models/unet/published_networks.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kImages = 2;
constexpr double kOutputBound = 2e-5,
                 kGradientBound = 1e-4;  // of the largest element, as the bounds of PyTorch's cases

std::vector<float> weights_of(const ParameterLayout& layout) {
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  int k = 0;
  for (const Parameter& p : layout.all()) {
    std::vector<float> values(p.count());
    const bool norm_weight =
        p.shape.size() == 1 && p.name.find("norm") != std::string::npos && p.name.ends_with("weight");
    for (int64_t i = 0; i < p.count(); ++i)
      values[i] =
          static_cast<float>(0.1 * std::sin(0.37 * static_cast<double>(i) + 0.11 * k) + (norm_weight ? 1.0 : 0.0));
    from_file_layout(p, values, arena.data());
    ++k;
  }
  return arena;
}

// (N, H, W, C) of element(i), i the index in (N, C, H, W); and back.
template <class F>
std::vector<float> channels_last(int64_t c, int64_t pixels, const F& element) {
  std::vector<float> out(kImages * c * pixels);
  for (int64_t n = 0; n < kImages; ++n)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < pixels; ++p) out[(n * pixels + p) * c + k] = element((n * c + k) * pixels + p);
  return out;
}
std::vector<double> channels_first(const std::vector<float>& values, int64_t c, int64_t pixels) {
  std::vector<double> out(values.size());
  for (int64_t n = 0; n < kImages; ++n)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < pixels; ++p) out[(n * c + k) * pixels + p] = values[(n * pixels + p) * c + k];
  return out;
}

// Sums are held against the sum of magnitudes, which does not cancel; elements against the largest.
void expect_digest(const std::string& what, const std::vector<double>& values, const Digest& want, double bound) {
  double sum = 0, sum_abs = 0, largest = 0;
  for (const double v : values) {
    sum += v;
    sum_abs += std::fabs(v);
    largest = std::max(largest, std::fabs(v));
  }
  EXPECT_NEAR(sum, want.sum, bound * want.sum_abs) << what;
  EXPECT_NEAR(sum_abs, want.sum_abs, bound * want.sum_abs) << what;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(values[i], want.first[i], bound * largest) << what << ", element " << i;
    EXPECT_NEAR(values[values.size() - 4 + i], want.last[i], bound * largest) << what << ", the last four, " << i;
  }
}

// A program on the network, run to its gradients of mean(output^2) / 2.
class Evaluation {
 public:
  Evaluation(const PublishedNetwork& published, const Network& network, Mode mode)
      : program_({kImages, mode, DType::F32}) {
    const NetworkInputs inputs = plan_network(program_, network);
    const std::vector<float> weights = weights_of(program_.layout());
    DeviceBuffer<float> device(weights.size(), "weights"), gradients(weights.size(), "gradients");
    device.upload(stream_, weights.data());
    gradients.zero(stream_);  // the padding between tensors
    program_.bind(device.data(), mode == Mode::Training ? gradients.data() : nullptr);
    program_.pack(stream_);
    put(program_.data(inputs.sample), channels_last(network.image.channels, network.image.pixels(), [](int64_t i) {
          return static_cast<float>(std::cos(0.05 * static_cast<double>(i)));
        }));
    put(program_.data(inputs.timestep), {3.0f, 917.0f});
    if (network.labels == LabelKind::Value) put(program_.data(inputs.labels), published.labels);
    if (network.labels == LabelKind::Index) {
      const std::vector<int32_t> labels(published.labels.begin(), published.labels.end());
      copy_to_device(stream_, program_.data(inputs.labels).as<int32_t>(), labels.data(), sizeof(int32_t) * kImages);
    }
    program_.forward(stream_);
    output.resize(kImages * network.image.pixels() * network.out_channels);
    copy_to_host(stream_, output.data(), program_.data(program_.output()).data, output.size() * sizeof(float));
    std::vector<float> cotangent = output;
    for (float& v : cotangent) v /= static_cast<float>(output.size());
    put(program_.gradient(program_.output()), cotangent);
    program_.backward(stream_);
    if (mode == Mode::Training) {
      std::vector<float> all(weights.size());
      gradients.download(stream_, all.data());
      for (const Parameter& p : program_.layout().all())
        for (int64_t i = 0; p.trainable && i < p.count(); ++i)
          parameter_squares += std::pow(static_cast<double>(all[p.offset + i]), 2);
    } else {
      input_gradient.resize(kImages * network.image.size());
      copy_to_host(stream_, input_gradient.data(), program_.gradient(inputs.sample).data,
                   input_gradient.size() * sizeof(float));
    }
  }

  std::vector<float> output, input_gradient;
  double parameter_squares = 0;

 private:
  void put(DataRef to, const std::vector<float>& values) {
    copy_to_device(stream_, to.as<float>(), values.data(), values.size() * sizeof(float));
  }

  Stream stream_;
  Program program_;
};

class Published : public testing::TestWithParam<PublishedNetwork> {};

TEST_P(Published, ComputesWhatDiffusersDoes) {
  const PublishedNetwork& published = GetParam();
  const UNetConfig config = unet_config_from_json(nlohmann::json::parse(published.config), published.name, nullptr);
  EXPECT_EQ(to_json(unet_config_from_json(to_json(config), published.name, nullptr)), to_json(config));
  const Network network = unet_network(config, published.h, published.w);
  const ParameterLayout layout = parameters_of(network);
  EXPECT_EQ(layout.all().size(), published.tensors);
  EXPECT_EQ(layout.count(), published.parameters);
  if (std::string(device_name()) == "sim" && layout.count() > 100000) GTEST_SKIP() << "too slow in sim";

  const Evaluation training(published, network, Mode::Training), pulled(published, network, Mode::InputGradient);
  const int64_t pixels = network.image.pixels();
  expect_digest("output", channels_first(training.output, config.out_channels, pixels), published.output, kOutputBound);
  EXPECT_EQ(training.output, pulled.output);
  double loss = 0;
  for (const float v : training.output) loss += 0.5 * v * v / static_cast<double>(training.output.size());
  EXPECT_NEAR(loss, published.loss, 2 * kOutputBound * published.loss);
  expect_digest("input gradient", channels_first(pulled.input_gradient, config.in_channels, pixels),
                published.input_gradient, kGradientBound);
  const double norm = std::sqrt(training.parameter_squares);
  EXPECT_NEAR(norm, published.parameter_gradient_norm, kGradientBound * published.parameter_gradient_norm);
}

INSTANTIATE_TEST_SUITE_P(Networks, Published, testing::ValuesIn(published_networks()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ito::test
