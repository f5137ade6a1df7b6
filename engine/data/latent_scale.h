// SPDX-License-Identifier: Apache-2.0
// What tells latents from images: how another network's codes were scaled before a model was trained on them. In files
// it stands beside the tensor `samples` (N, C, h, w) as `scale` and `shift`, F32, a number a channel or one for all:
//   what a model is trained on and draws = (code - shift) scale
// A data set holds codes with the scale still to come. Samples drawn by a model have it behind them, which `scaled`, a
// tensor of one number 1, says.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"

namespace ito {

struct LatentScale {
  std::vector<float> scale, shift;  // a number a channel

  float scaled(float code, size_t channel) const { return (code - shift[channel]) * scale[channel]; }
  float code(float scaled, size_t channel) const { return scaled / scale[channel] + shift[channel]; }
  bool operator==(const LatentScale&) const = default;
};

struct FileScale {
  LatentScale scale;
  bool applied;  // to the file's samples
};

// None where the file has neither tensor. UserError for a shift alone, other numbers than channels, a scale that is not
// finite and above 0.
std::optional<FileScale> read_latent_scale(const SafetensorsFile& file, int channels);
// The tensors of samples that a model has drawn, F32 (n), by name.
std::vector<std::pair<std::string, std::vector<float>>> latent_tensors(const LatentScale& scale);

// As a checkpoint's latents.json: {"scale": [..], "shift": [..]}.
Json json_of(const LatentScale& scale);
LatentScale latent_scale_of(const Json& json, const std::string& where, int channels);

}  // namespace ito
