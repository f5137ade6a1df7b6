// SPDX-License-Identifier: Apache-2.0
// JiT, a transformer on the pixels themselves (Li and He 2025, arXiv 2511.13720), as a network. Its answer is read as
// the image x0: a patch of p x p x C numbers goes through a bottleneck narrower than itself, and clean images lie near
// a surface of few dimensions where noise does not.
#pragma once
#include "engine/program/network.h"
#include "models/jit/jit_config.h"

namespace ito {

// Appends the forward pass and returns its output (N, H, W, C). inputs.timestep: T u, where inputs.sample is
// (1 - u) x0 + u eps. inputs.labels: class numbers, of which num_classes stands for no class; none without classes.
Value append_jit(Program& program, const JiTConfig& config, const NetworkInputs& inputs);

Network jit_network(const JiTConfig& config, int height, int width);

}  // namespace ito
