// SPDX-License-Identifier: Apache-2.0
// A small AutoencoderKL as a folder: two levels, codes of four channels, an encoder's tensor beside the decoder's.
// Weights have a closed form: tensor k (names sorted) of the decoder, element i in file order, is
// 0.1 sin(0.37 i + 0.11 k), plus 1 for a norm's weight.
#pragma once
#include <cmath>
#include <string>

#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "models/autoencoder_kl/decoder.h"
#include "tests/engine/io/temp_folder.h"

namespace ito::test {

inline Json tiny_autoencoder(const Json& overrides = Json::object()) {
  Json config = {{"_class_name", "AutoencoderKL"},
                 {"block_out_channels", {8, 16}},
                 {"latent_channels", 4},
                 {"layers_per_block", 1},
                 {"norm_num_groups", 4},
                 {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                 {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                 {"sample_size", 16},
                 {"latents_mean", nullptr}};
  config.update(overrides);
  return config;
}

// FOLDER/NAME/vae; returns FOLDER/NAME.
inline std::string write_autoencoder(const TempFolder& folder, const std::string& name, const Json& config) {
  const std::string file = folder.write(name + "/vae/config.json", json_text(config));
  const ParameterLayout layout = decoder_parameters(autoencoder_config_from_json(config, file, nullptr));
  SafetensorsWriter writer;
  int k = 0;
  for (const Parameter& p : layout.all()) {
    const bool norm = p.shape.size() == 1 && p.name.find("norm") != std::string::npos && p.name.ends_with("weight");
    std::vector<float> values(p.count());
    for (int64_t i = 0; i < p.count(); ++i)
      values[i] = static_cast<float>(0.1 * std::sin(0.37 * static_cast<double>(i) + 0.11 * k) + (norm ? 1 : 0));
    writer.add(p.name, p.shape, std::move(values));
    ++k;
  }
  writer.add("encoder.conv_in.bias", {2}, std::vector<float>{1, 2});
  writer.write(folder / name + "/vae/diffusion_pytorch_model.safetensors");
  return folder / name;
}

}  // namespace ito::test
