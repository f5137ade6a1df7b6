// SPDX-License-Identifier: Apache-2.0
// The UNet as published: tensor counts of the well-known ones, refusals.
#include "models/unet/unet.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/reverse/predictor.h"
#include "models/model.h"

namespace ito {
namespace {

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
    const Model model = named_model(name);
    if (model.architecture->class_name != std::string("UNet2DModel")) continue;
    const nlohmann::json& written = model.configured.config;
    EXPECT_EQ(to_json(unet_config_from_json(written, name, nullptr)), written) << name;
  }
}

}  // namespace
}  // namespace ito
