// SPDX-License-Identifier: Apache-2.0
// The architecture of diffusers' DiTTransformer2DModel (Peebles and Xie 2023) as its transformer/config.json states it.
// Defaults are that class's.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ito {

struct DiTConfig {
  int num_attention_heads = 16, attention_head_dim = 72;
  int in_channels = 4;
  std::optional<int> out_channels;  // null: in_channels
  int num_layers = 28;
  double dropout = 0.0;
  int norm_num_groups = 32;  // of no norm of these blocks; kept as it was read
  bool attention_bias = true;
  int sample_size = 32, patch_size = 2;
  std::string activation_fn = "gelu-approximate";  // gelu
  std::optional<int> num_embeds_ada_norm = 1000;   // classes
  bool upcast_attention = false;                   // softmax is fp32 in any case
  std::string norm_type = "ada_norm_zero";
  bool norm_elementwise_affine = false;
  double norm_eps = 1e-5;

  int width() const { return num_attention_heads * attention_head_dim; }
  int outputs() const { return out_channels.value_or(in_channels); }
};

// where: the file's name for messages. Unknown keys are named in one warning line; known keys with values that are not
// implemented, or that contradict each other, are refused (UserError).
DiTConfig dit_config_from_json(const nlohmann::json& json, const std::string& where,
                               std::vector<std::string>* warnings);
nlohmann::json to_json(const DiTConfig& config);

}  // namespace ito
