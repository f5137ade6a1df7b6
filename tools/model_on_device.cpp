// SPDX-License-Identifier: Apache-2.0
// See model_on_device.h.
#include "tools/model_on_device.h"

#include <cstdio>

#include "models/named_models.h"

namespace ito {

void print_warnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) std::fprintf(stderr, "ito: warning: %s\n", warning.c_str());
}

void check_timestep_table(const UNetConfig& config, const std::string& where, int timesteps) {
  ITO_USER_CHECK(config.time_embedding_type != "learned" || timesteps <= *config.num_train_timesteps, where,
                 ": its learned time embedding has num_train_timesteps ", config.num_train_timesteps.value_or(0),
                 ", but the noise schedule has ", timesteps, " timesteps; make the two agree");
}

DType compute_type(const std::string& precision) {
  if (precision == "fp32") return DType::F32;
  ITO_USER_CHECK(precision == "bf16", "--precision ", precision, ": expected fp32 or bf16",
                 did_you_mean(precision, {"fp32", "bf16"}));
  if (device_has_bf16()) return DType::BF16;
  std::fprintf(stderr, "ito: this processor has no bf16 products; computing in fp32\n");
  return DType::F32;
}

ModelOnDevice load_model(const std::string& path, int height, int width) {
  ModelOnDevice model;
  model.files = find_model(path);
  ITO_USER_CHECK(!model.files.weights.empty(), path,
                 ": found no weights; expected diffusion_pytorch_model.safetensors in it or in its unet folder");
  std::vector<std::string> warnings;
  model.config = unet_config_from_json(read_json_file(model.files.unet_config), model.files.unet_config, &warnings);
  model.scheduler = read_scheduler(model.files, &warnings);
  print_warnings(warnings);
  if (height == 0 || width == 0) {
    ITO_USER_CHECK(model.config.sample_size, model.files.unet_config,
                   ": has no sample_size; give the image size with --height and --width");
    if (height == 0) height = (*model.config.sample_size)[0];
    if (width == 0) width = (*model.config.sample_size)[1];
  }
  model.network = unet_network(model.config, height, width);
  const std::vector<float> arena = read_weights(model.files.weights, parameters_of(model.network));
  Stream stream;
  model.weights = DeviceBuffer<float>(arena.size(), "weights");
  model.weights.upload(stream, arena.data());
  return model;
}

}  // namespace ito
