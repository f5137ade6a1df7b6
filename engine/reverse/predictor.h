// SPDX-License-Identifier: Apache-2.0
// The network once, on tensors from the host.
#pragma once
#include <vector>

#include "engine/program/network.h"

namespace ito {

// sample (N, H, W, C), timestep (N), labels as the network wants them ((N) numbers or (N, width)) or empty; returns
// (N, H, W, out_channels). level: (N, 2) alpha and sigma of the samples for a network that asks for them, or empty.
// weights: an arena in device memory. Runs in batches of at most `batch`.
// memory_limit in bytes: UserError with the sum if the plan needs more.
std::vector<float> predict(const Network& network, const float* weights, DType compute, int batch,
                           const std::vector<float>& sample, const std::vector<float>& timestep,
                           const std::vector<float>& labels, const std::vector<float>& level = {},
                           size_t memory_limit = SIZE_MAX);

}  // namespace ito
