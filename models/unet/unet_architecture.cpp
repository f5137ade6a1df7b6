// SPDX-License-Identifier: Apache-2.0
// diffusers' UNet2DModel among the architectures, and its named configurations. demo: 1.1 M parameters for 28x28
// images; ddpm-cifar10: 35.7 M, 32x32 (Ho et al. 2020); ddpm-256: 114 M, 256x256.
#include "models/architecture.h"
#include "models/unet/unet.h"

namespace ito {
namespace {

UNetConfig demo_model() {
  UNetConfig c;
  c.sample_size = {28, 28};
  c.in_channels = c.out_channels = 1;
  c.block_out_channels = {32, 64, 64};
  c.down_block_types = {"DownBlock2D", "DownBlock2D", "AttnDownBlock2D"};
  c.up_block_types = {"AttnUpBlock2D", "UpBlock2D", "UpBlock2D"};
  c.layers_per_block = 1;
  c.norm_num_groups = 8;
  c.attention_head_dim.reset();
  return c;
}

// What the published google/ddpm-* models have in common.
UNetConfig ddpm_model(int size, std::vector<int> channels, size_t attention_level) {
  UNetConfig c;
  c.sample_size = {size, size};
  c.block_out_channels = std::move(channels);
  const size_t levels = c.block_out_channels.size();
  c.down_block_types.assign(levels, "DownBlock2D");
  c.up_block_types.assign(levels, "UpBlock2D");
  c.down_block_types[attention_level] = "AttnDownBlock2D";
  c.up_block_types[levels - 1 - attention_level] = "AttnUpBlock2D";
  c.attention_head_dim.reset();
  c.freq_shift = 1;
  c.flip_sin_to_cos = false;
  c.downsample_padding = 0;
  c.norm_eps = 1e-6;
  return c;
}

constexpr NamedConfig kNamed[] = {
    {"demo", [] { return to_json(demo_model()); }},
    {"ddpm-cifar10",
     [] {
       return to_json(ddpm_model(32, {128, 256, 256, 256}, 1));
     }},
    {"ddpm-256",
     [] {
       return to_json(ddpm_model(256, {128, 128, 256, 256, 512, 512}, 4));
     }},
};

Configured configure(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  const UNetConfig config = unet_config_from_json(json, where, warnings);
  Configured configured;
  configured.config = to_json(config);
  const std::array<int, 2> size = config.sample_size.value_or(std::array<int, 2>{0, 0});
  configured.image = {size[0], size[1], config.in_channels};
  configured.side_multiple = config.downsampling();
  configured.network = [config](int height, int width) { return unet_network(config, height, width); };
  configured.config_for = [config](int height, int width) {
    UNetConfig sized = config;
    sized.sample_size = {height, width};
    return to_json(sized);
  };
  return configured;
}

Json with_variance(Json config) {
  config["out_channels"] = 2 * config.at("in_channels").get<int>();
  return config;
}

Json with_classes(Json config, int classes) {
  config["num_class_embeds"] = classes;
  return config;
}

}  // namespace

extern const Architecture kUNet2DModel;
const Architecture kUNet2DModel{"UNet2DModel",        "unet",        configure,   kNamed,
                                "block_out_channels", with_variance, with_classes};

}  // namespace ito
