// SPDX-License-Identifier: Apache-2.0
// diffusers' DiTTransformer2DModel (Peebles and Xie 2023) as a network.
#pragma once
#include "engine/program/network.h"
#include "models/dit/dit_config.h"

namespace ito {

// Appends the forward pass and returns its output (N, H, W, out_channels). inputs.labels: class numbers, of which
// num_embeds_ada_norm stands for no class.
Value append_dit(Program& program, const DiTConfig& config, const NetworkInputs& inputs);

Network dit_network(const DiTConfig& config, int height, int width);

}  // namespace ito
