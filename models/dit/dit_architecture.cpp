// SPDX-License-Identifier: Apache-2.0
// diffusers' DiTTransformer2DModel among the architectures, and its named configurations. The published ones work on
// another network's codes, and are read from their own files; these have their depths and widths, for images of 32 x 32
// with three channels. dit-xl-2: 28 blocks of width 1152; dit-b-2: 12 of 768.
#include <nlohmann/json.hpp>

#include "models/architecture.h"
#include "models/dit/dit.h"

namespace ito {
namespace {

Configured configure(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  const DiTConfig config = dit_config_from_json(json, where, warnings);
  Configured configured;
  configured.config = to_json(config);
  configured.image = {config.sample_size, config.sample_size, config.in_channels};
  configured.side_multiple = config.patch_size;
  configured.network = [config](int height, int width) { return dit_network(config, height, width); };
  configured.config_for = [config](int height, int width) {
    ITO_USER_CHECK(height == width, "images of ", height, " x ", width,
                   ": sample_size of a DiTTransformer2DModel is one number; use square images");
    DiTConfig sized = config;
    sized.sample_size = height;
    return to_json(sized);
  };
  return configured;
}

DiTConfig published(int depth, int heads, int head_dim) {
  DiTConfig c;
  c.num_layers = depth;
  c.num_attention_heads = heads;
  c.attention_head_dim = head_dim;
  c.in_channels = 3;
  return c;
}

constexpr NamedConfig kNamed[] = {
    {"dit-b-2", [] { return to_json(published(12, 12, 64)); }},
    {"dit-xl-2", [] { return to_json(published(28, 16, 72)); }},
};

Json with_variance(Json config) {
  config["out_channels"] = 2 * config.at("in_channels").get<int>();
  return config;
}

Json with_classes(Json config, int classes) {
  config["num_embeds_ada_norm"] = classes;
  return config;
}

}  // namespace

extern const Architecture kDiTTransformer2DModel;
const Architecture kDiTTransformer2DModel{"DiTTransformer2DModel", "transformer", configure, kNamed, nullptr,
                                          with_variance,           with_classes};

}  // namespace ito
