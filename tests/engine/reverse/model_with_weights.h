// SPDX-License-Identifier: Apache-2.0
// A tiny network with weights on the device, and tables for it.
#pragma once
#include <string>
#include <vector>

#include "engine/program/device_buffer.h"
#include "engine/samplers/sampler.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {

struct Model {
  explicit Model(const std::string& overrides = "{}") : network(tiny_network(overrides)) {
    const std::vector<float> host = busy_weights(parameters_of(network), 9);
    weights = {host.size(), "weights"};
    weights.upload(stream, host.data());
  }
  Network network;
  Stream stream;
  DeviceBuffer<float> weights;
};

inline ReverseTable tiny_table(const char* sampler, int steps, const std::vector<std::string>& set = {},
                               const SchedulerConfig& config = {}) {
  return sampling_table(sampler_named(sampler), NoiseSchedule(config), {.steps = steps, .set = set});
}

}  // namespace ito::test
