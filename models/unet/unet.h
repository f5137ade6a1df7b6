// SPDX-License-Identifier: Apache-2.0
// diffusers' UNet2DModel (Ho et al. 2020's network and its descendants), written once as ops of a program.
#pragma once
#include "engine/program/program.h"
#include "models/unet/unet_config.h"

namespace ito {

// Inputs of the program: "sample" (N, H, W, in_channels) in the compute type, "timestep" (N) fp32 and, for conditional
// networks, "class_labels": (N) int32 for an embedding table, (N) fp32 for "timestep", (N, time_dim) fp32 for
// "identity". Output: (N, H, W, out_channels). Calls finish().
void build_unet(Program& program, const UNetConfig& config, int height, int width);

}  // namespace ito
