// SPDX-License-Identifier: Apache-2.0
// diffusers' DiTTransformer2DModel among the architectures. None is named: the published ones work on another network's
// codes, and are read from their own files.
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

Json with_classes(Json config, int classes) {
  config["num_embeds_ada_norm"] = classes;
  return config;
}

}  // namespace

extern const Architecture kDiTTransformer2DModel;
const Architecture kDiTTransformer2DModel{
    "DiTTransformer2DModel", "transformer", configure, {}, nullptr, nullptr, with_classes};

}  // namespace ito
