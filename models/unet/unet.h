// SPDX-License-Identifier: Apache-2.0
// diffusers' UNet2DModel (Ho et al. 2020's network and its descendants), written once as ops of a program.
#pragma once
#include "engine/program/network.h"
#include "models/unet/unet_config.h"

namespace ito {

// Appends the network for images of any size that config.downsampling() divides, and returns (N, H, W, out_channels).
// Labels: (N) int32 for an embedding table, (N) fp32 for class_embed_type "timestep", (N, time_dim) fp32 for
// "identity".
Value append_unet(Program& program, const UNetConfig& config, const NetworkInputs& inputs);

Network unet_network(const UNetConfig& config, int height, int width);

}  // namespace ito
