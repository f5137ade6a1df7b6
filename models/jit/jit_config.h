// SPDX-License-Identifier: Apache-2.0
// The architecture of a JiT (Li and He 2025, "Back to basics: let denoising generative models denoise") as its
// transformer/config.json states it. The class is ours: diffusers has none. Defaults are those of JiT-B/16.
#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ito {

struct JiTConfig {
  std::array<int, 2> sample_size{256, 256};  // height and width; one number is both
  int in_channels = 3;
  int patch_size = 16;
  int bottleneck_dim = 128;  // numbers that a patch is brought down to before it is brought up to the width
  int num_layers = 12;
  int num_attention_heads = 12, attention_head_dim = 64;
  double mlp_ratio = 4.0;                 // the feed-forward's hidden width is 2/3 of so many widths
  std::optional<int> num_classes = 1000;  // null: the network knows of no classes
  int context_length = 32;                // tokens of the class in front of the image's; 0: none
  int context_start = 4;                  // the block before which they are put there
  double dropout = 0.0;                   // behind attention and within the feed-forward of the middle half of blocks
  double norm_eps = 1e-6;                 // of every norm
  double noise_scale = 1.0;               // c of the path t x0 + (1 - t) c eps that the network's inputs stand on
  int num_train_timesteps = 1000;         // T: a timestep is T u, where the state is (1 - u) x0 + u eps

  int width() const { return num_attention_heads * attention_head_dim; }
  int hidden() const;  // of the feed-forward
  bool drops(int block) const { return dropout > 0 && block >= num_layers / 4 && block < num_layers / 4 * 3; }
  bool has_context() const { return num_classes && context_length > 0; }
};

// where: the file's name for messages. Unknown keys are named in one warning line; values out of range, or that
// contradict each other, are refused (UserError).
JiTConfig jit_config_from_json(const nlohmann::json& json, const std::string& where,
                               std::vector<std::string>* warnings);
nlohmann::json to_json(const JiTConfig& config);

}  // namespace ito
