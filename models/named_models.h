// SPDX-License-Identifier: Apache-2.0
// Architectures by name, and the road from a configuration to a network of the engine.
#pragma once
#include <string>
#include <vector>

#include "engine/program/network.h"
#include "models/unet/unet_config.h"

namespace ito {

std::vector<std::string> named_models();
bool is_named_model(const std::string& name);
// demo: 1.1 M parameters for 28x28 images; ddpm-cifar10: 35.7 M, 32x32 (Ho et al. 2020); ddpm-256: 114 M, 256x256.
UNetConfig named_model(const std::string& name);

Network unet_network(const UNetConfig& config, int height, int width);

}  // namespace ito
