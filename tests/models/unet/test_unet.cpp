// SPDX-License-Identifier: Apache-2.0
// The UNet as published: golden outputs of a small network, tensor counts of the well-known ones, refusals.
#include "models/unet/unet.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/reverse/predictor.h"
#include "models/model.h"

namespace ito {
namespace {

UNetConfig golden_config() {
  return unet_config_from_json(
      nlohmann::json::parse(R"({"in_channels": 3, "out_channels": 3, "block_out_channels": [8, 16],
        "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "freq_shift": 1, "flip_sin_to_cos": false,
        "downsample_padding": 0, "attention_head_dim": null, "norm_eps": 1e-6})"),
      "golden", nullptr);
}

// Weight tensor number k (names sorted), element i in file order = 0.1 sin(0.37 i + 0.11 k), plus 1 for norm weights.
std::vector<float> golden_weights(const ParameterLayout& layout) {
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  int k = 0;
  for (const Parameter& p : layout.all()) {
    std::vector<float> values(p.count());
    const bool norm_weight = p.name.find("norm") != std::string::npos && p.name.ends_with("weight");
    for (int64_t i = 0; i < p.count(); ++i)
      values[i] = static_cast<float>(0.1 * std::sin(0.37 * i + 0.11 * k) + (norm_weight ? 1.0 : 0.0));
    from_file_layout(p, values, arena.data());
    ++k;
  }
  return arena;
}

ParameterLayout layout_of(const UNetConfig& config, int height, int width) {
  return parameters_of(unet_network(config, height, width));
}

TEST(UNet, ReproducesTheGoldenNetwork) {
  const Network network = unet_network(golden_config(), 8, 8);
  const ParameterLayout layout = layout_of(golden_config(), 8, 8);
  EXPECT_EQ(layout.all().size(), 144u);
  EXPECT_EQ(layout.count(), 45259);
  const std::vector<float> weights = golden_weights(layout);
  Stream stream;
  DeviceBuffer<float> device(weights.size(), "weights");
  device.upload(stream, weights.data());
  // Input element i of (2, 3, 8, 8) is cos(0.05 i); the engine wants it channels last.
  std::vector<float> sample(2 * 8 * 8 * 3);
  for (int n = 0; n < 2; ++n)
    for (int c = 0; c < 3; ++c)
      for (int p = 0; p < 64; ++p)
        sample[(n * 64 + p) * 3 + c] = static_cast<float>(std::cos(0.05 * ((n * 3 + c) * 64 + p)));
  const std::vector<float> out = predict(network, device.data(), DType::F32, 2, sample, {3.0f, 917.0f}, {});
  double sum = 0, magnitude = 0;
  std::vector<double> planar(out.size());
  for (int n = 0; n < 2; ++n)
    for (int c = 0; c < 3; ++c)
      for (int p = 0; p < 64; ++p) planar[(n * 3 + c) * 64 + p] = out[(n * 64 + p) * 3 + c];
  for (double v : planar) {
    sum += v;
    magnitude += std::fabs(v);
  }
  EXPECT_NEAR(sum, 22.5897315, 1e-5 * 152.4775364);  // relative to the sum of magnitudes: the sum itself cancels
  EXPECT_NEAR(magnitude, 152.4775364, 1e-5 * 152.4775364);
  const double first[] = {-0.0902331502, -0.2385643364, -0.2449230272, -0.1090289726};
  const double last[] = {-0.1141390650, 0.3178970571, 0.3742192431, 0.2241626398};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(planar[i], first[i], 1e-5);
    EXPECT_NEAR(planar[planar.size() - 4 + i], last[i], 1e-5);
  }
}

TEST(UNet, CountsThePublishedModels) {
  const ParameterLayout cifar = parameters_of(named_model("ddpm-cifar10").network(32, 32));
  EXPECT_EQ(cifar.all().size(), 328u);
  EXPECT_EQ(cifar.count(), 35746307);
  const ParameterLayout cat = parameters_of(named_model("ddpm-256").network(64, 64));
  EXPECT_EQ(cat.all().size(), 450u);
  EXPECT_EQ(cat.count(), 113673219);
}

TEST(UNet, RefusesWhatIsNotImplemented) {
  const auto message = [](const char* text) -> std::string {
    try {
      unet_config_from_json(nlohmann::json::parse(text), "config.json", nullptr);
    } catch (const UserError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message(R"({"act_fn": "mish"})"),
            "config.json: act_fn is 'mish', which is not implemented; use silu, swish");
  EXPECT_EQ(message(R"({"act_fn": "swish"})"), "accepted");
  EXPECT_NE(
      message(R"({"down_block_types": ["KDownBlock2D"], "up_block_types": ["UpBlock2D"], "block_out_channels": [32]})"),
      "accepted");
  EXPECT_NE(message(R"({"block_out_channels": [32, 64]})"), "accepted");
  EXPECT_NE(message(R"({"layers_per_block": "two"})"), "accepted");
}

TEST(UNet, NamesUnknownKeysInOneWarning) {
  std::vector<std::string> warnings;
  unet_config_from_json(nlohmann::json::parse(R"({"b_key": 1, "a_key": 2, "_class_name": "UNet2DModel"})"), "c.json",
                        &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0], "c.json: ignoring unknown keys: 'a_key', 'b_key'");
}

TEST(UNet, ConfigurationsRoundTrip) {
  for (const std::string& name : named_models()) {
    const nlohmann::json written = named_model(name).configured.config;
    EXPECT_EQ(to_json(unet_config_from_json(written, name, nullptr)), written) << name;
  }
}

}  // namespace
}  // namespace ito
