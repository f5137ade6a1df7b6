// SPDX-License-Identifier: Apache-2.0
// See named_models.h. A named model is a configuration like one read from a file.
#include "models/named_models.h"

#include <algorithm>

#include "kernels/error.h"
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

}  // namespace

std::vector<std::string> named_models() {
  return {"demo", "ddpm-cifar10", "ddpm-256"};
}

bool is_named_model(const std::string& name) {
  const std::vector<std::string> names = named_models();
  return std::find(names.begin(), names.end(), name) != names.end();
}

UNetConfig named_model(const std::string& name) {
  if (name == "demo") return demo_model();
  if (name == "ddpm-cifar10") return ddpm_model(32, {128, 256, 256, 256}, 1);
  if (name == "ddpm-256") return ddpm_model(256, {128, 128, 256, 256, 512, 512}, 4);
  fail<UserError>("model ", name, ": no such model; use demo, ddpm-cifar10, ddpm-256 or the path of a config.json");
}

Network unet_network(const UNetConfig& config, int height, int width) {
  Network network;
  network.image = {height, width, config.in_channels};
  network.out_channels = config.out_channels;
  if (config.class_embed_type) {
    network.labels = LabelKind::Value;
    network.label_width = *config.class_embed_type == "identity" ? config.time_dim() : 1;
  } else if (config.num_class_embeds) {
    network.labels = LabelKind::Index;
    network.classes = *config.num_class_embeds;
  }
  if (config.time_embedding_type == "learned")
    network.time = {*config.num_train_timesteps, false, "time_embedding_type learned"};
  if (config.time_embedding_type == "fourier") network.time = {0, true, "time_embedding_type fourier"};
  network.append = [config](Program& program, const NetworkInputs& inputs) {
    return append_unet(program, config, inputs);
  };
  return network;
}

}  // namespace ito
