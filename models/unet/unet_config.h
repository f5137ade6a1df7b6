// SPDX-License-Identifier: Apache-2.0
// The architecture of diffusers' UNet2DModel as its unet/config.json states it. Defaults are that class's.
#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ito {

// What a block of the down or up path is made of, as its name in config.json says.
struct UNetBlock {
  bool attends = false;    // attention after its residual blocks; a skip block's of the up path once, after them all
  bool by_resnet = false;  // resampled by a residual block in place of a convolution
  bool skips = false;      // NCSN++ (Song et al. 2021): resampled through a filter, with the image itself beside it
};

struct UNetConfig {
  std::optional<std::array<int, 2>> sample_size;  // H, W; null: whatever is fed
  int in_channels = 3, out_channels = 3;
  bool center_input_sample = false;
  std::string time_embedding_type = "positional";  // fourier, learned
  std::optional<int> time_embedding_dim;           // null: 4 * block_out_channels[0]
  double freq_shift = 0;
  bool flip_sin_to_cos = true;
  std::vector<std::string> down_block_types{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"};
  std::optional<std::string> mid_block_type = "UNetMidBlock2D";
  std::vector<std::string> up_block_types{"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"};
  std::vector<int> block_out_channels{224, 448, 672, 896};
  int layers_per_block = 2;
  double mid_block_scale_factor = 1;
  int downsample_padding = 1;            // 0: one row at the bottom and one column at the right
  std::string downsample_type = "conv";  // resnet; of AttnDownBlock2D and AttnUpBlock2D only
  std::string upsample_type = "conv";
  double dropout = 0.0;
  std::string act_fn = "silu";
  std::optional<int> attention_head_dim = 8;  // null: one head as wide as the block
  std::optional<int> norm_num_groups = 32;    // null: by the channels, as skip blocks have it whatever stands here
  std::optional<int> attn_norm_num_groups;
  double norm_eps = 1e-5;
  std::string resnet_time_scale_shift = "default";  // scale_shift
  bool add_attention = true;
  std::optional<std::string> class_embed_type;  // timestep, identity
  std::optional<int> num_class_embeds;
  std::optional<int> num_train_timesteps;  // of the learned time embedding

  int time_dim() const { return time_embedding_dim.value_or(4 * block_out_channels.at(0)); }
  int head_dim(int channels) const { return attention_head_dim.value_or(channels); }
  int norm_groups(int channels) const { return norm_num_groups.value_or(channels / 4 < 32 ? channels / 4 : 32); }
  int levels() const { return static_cast<int>(block_out_channels.size()); }
  UNetBlock down_block(int i) const;
  UNetBlock up_block(int i) const;
  int downsampling() const { return 1 << (static_cast<int>(block_out_channels.size()) - 1); }
  bool has_class_labels() const { return class_embed_type.has_value() || num_class_embeds.has_value(); }
};

// where: the file's name for messages. Unknown keys are named in one warning line; known keys with values that are not
// implemented, or that contradict each other, are refused (UserError).
UNetConfig unet_config_from_json(const nlohmann::json& json, const std::string& where,
                                 std::vector<std::string>* warnings);
nlohmann::json to_json(const UNetConfig& config);

}  // namespace ito
