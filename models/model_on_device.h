// SPDX-License-Identifier: Apache-2.0
// From a path to a network with its weights, if it has any, on the device: what sampling and predicting begin with.
#pragma once
#include <string>

#include "engine/program/device_buffer.h"
#include "models/model.h"

namespace ito {

struct ModelOnDevice {
  Model model;
  SchedulerConfig scheduler;
  Network network;
  DeviceBuffer<float> weights;
};

// height, width: 0 for what the configuration says. average: one of those beside the model's weights, in their place.
// Warns of what it passes over. The kernels that the checkpoint was made with are taken from now on.
ModelOnDevice load_model(const std::string& path, int height, int width, const std::string& average = {});

}  // namespace ito
