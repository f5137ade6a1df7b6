// SPDX-License-Identifier: Apache-2.0
// vae/config.json, and the latents.json of a model of its codes: what is accepted has sizes that a network can be of.
#include "engine/data/latent_scale.h"
#include "engine/io/json_file.h"
#include "models/autoencoder_kl/autoencoder_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_autoencoder_config(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Json json = parse_json(text, "config.json");
  if (json.is_object() && json.contains("scale")) {
    const LatentScale scale = latent_scale_of(json, "latents.json", 4);
    demand(latent_scale_of(json_of(scale), "again", 4) == scale, "a scale survives writing and reading");
    return;
  }
  std::vector<std::string> warnings;
  const AutoencoderConfig config = autoencoder_config_from_json(json, "config.json", &warnings);
  for (const std::string& warning : warnings) demand_one_line(warning);
  demand(config.side_factor() > 0 && config.side_factor() <= 512, "a side grows by a power of two");
  for (const int channels : config.block_out_channels)
    demand(channels > 0 && channels % config.norm_num_groups == 0, "groups divide the channels");
}

}  // namespace ito
