// SPDX-License-Identifier: Apache-2.0
// The decoder's part of diffusers' AutoencoderKL (Rombach et al. 2022) as its vae/config.json states it. Defaults are
// that class's. What only its encoder reads is kept and not looked at.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ito {

struct AutoencoderConfig {
  int out_channels = 3, latent_channels = 4;
  std::vector<std::string> up_block_types = {"UpDecoderBlock2D"};
  std::vector<int> block_out_channels = {64};
  int layers_per_block = 1;
  std::string act_fn = "silu";
  int norm_num_groups = 32;
  bool use_post_quant_conv = true, mid_block_add_attention = true;
  // Of latents that a model was trained on: (code - shift_factor) scaling_factor.
  double scaling_factor = 0.18215;
  std::optional<double> shift_factor;

  // Pixels of an image's side for one of the codes'.
  int side_factor() const { return 1 << (block_out_channels.size() - 1); }
};

// where: the file's name for messages. UserError for another class, for what is not implemented and for what
// contradicts itself. Unknown keys are named in one warning line.
AutoencoderConfig autoencoder_config_from_json(const nlohmann::json& json, const std::string& where,
                                               std::vector<std::string>* warnings);

}  // namespace ito
