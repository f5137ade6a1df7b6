// SPDX-License-Identifier: Apache-2.0
// Networks in closed form among the architectures: with one of them in a network's place, what a published sampler
// computes is known to many digits. They have no weights, and no size of image that they would not take.
#include "engine/ops/ops.h"
#include "models/architecture.h"
#include "models/toy/toy_config.h"

namespace ito {
namespace {

Network network_of(const ToyConfig& config, int height, int width) {
  Network network;
  network.image = {height, width, config.image.channels};
  network.out_channels = config.image.channels;
  network.asks_level = asks_level(config.form);
  network.append = [form = config.form](Program& program, const NetworkInputs& inputs) {
    return toy(program, "toy", inputs.sample, asks_level(form) ? inputs.level : inputs.timestep, form);
  };
  return network;
}

Configured configure(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  const ToyConfig config = toy_config_from_json(json, where, warnings);
  Configured configured;
  configured.config = to_json(config);
  configured.image = config.image;
  configured.network = [config](int height, int width) { return network_of(config, height, width); };
  configured.config_for = [config](int height, int width) {
    ToyConfig sized = config;
    sized.image = {height, width, config.image.channels};
    return to_json(sized);
  };
  configured.scheduler = unclipped_scheduler();
  return configured;
}

}  // namespace

extern const Architecture kToyNetwork;
const Architecture kToyNetwork{"ToyNetwork", "toy", configure, {}, nullptr, nullptr, nullptr, "ito"};

}  // namespace ito
