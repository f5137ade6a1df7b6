// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's path to a network with its weights on the device: what sample, predict and inspect begin with.
#pragma once
#include <string>

#include "engine/checkpoint/checkpoint.h"
#include "engine/program/device_buffer.h"
#include "engine/program/network.h"
#include "models/unet/unet_config.h"

namespace ito {

struct ModelOnDevice {
  ModelFiles files;
  UNetConfig config;
  SchedulerConfig scheduler;
  Network network;
  DeviceBuffer<float> weights;
};

// height, width: 0 for what the configuration says. Prints warnings to stderr.
ModelOnDevice load_model(const std::string& path, int height, int width);

// "fp32" or "bf16"; bf16 falls back to fp32 with one line where the processor has no bf16 products.
DType compute_type(const std::string& precision);

// Refuses a schedule of more timesteps than a learned time embedding has rows. where: the network's config.json.
void check_timestep_table(const UNetConfig& config, const std::string& where, int timesteps);

void print_warnings(const std::vector<std::string>& warnings);

}  // namespace ito
