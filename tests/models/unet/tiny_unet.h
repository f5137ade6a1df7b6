// SPDX-License-Identifier: Apache-2.0
// The network that whole-network tests run: two levels, attention in the lower one, 8 x 8 images; small enough for sim.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/program/network.h"
#include "kernels/random/philox.h"
#include "models/unet/unet.h"

namespace ito::test {

inline constexpr int kTinySize = 8;

// Under a sanitizer sim is some twenty times slower; what is compared there stays, over fewer steps.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// overrides: keys of config.json that replace the defaults here.
inline UNetConfig tiny_config(const std::string& overrides = "{}") {
  nlohmann::json config = nlohmann::json::parse(R"({"in_channels": 3, "out_channels": 3,
    "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 8})");
  config.update(nlohmann::json::parse(overrides));
  return unet_config_from_json(config, "tiny", nullptr);
}

inline Network tiny_network(const std::string& overrides = "{}") {
  return unet_network(tiny_config(overrides), kTinySize, kTinySize);
}

// A number in [-1, 1) that depends on all three.
inline float draw(uint64_t seed, uint32_t tensor, uint32_t element) {
  return 2.0f * uniform01(philox4x32(seed, element, tensor, 0, 0x7E57u).v[0]) - 1.0f;
}

inline std::vector<float> draws(size_t count, uint64_t seed, float scale = 1.0f) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = scale * draw(seed, 0, static_cast<uint32_t>(i));
  return values;
}

// Weights as after some training: no tensor is at the ones and zeros that norms start from, which would hide mistakes.
inline std::vector<float> busy_weights(const ParameterLayout& layout, uint64_t seed) {
  std::vector<float> arena = initial_weights(layout, seed);
  uint32_t index = 0;
  for (const Parameter& p : layout.all()) {
    ++index;
    if (p.initial != Initial::Ones && p.initial != Initial::Zeros) continue;
    for (int64_t i = 0; i < p.count(); ++i) arena[p.offset + i] += 0.4f * draw(seed, index, static_cast<uint32_t>(i));
  }
  return arena;
}

}  // namespace ito::test
