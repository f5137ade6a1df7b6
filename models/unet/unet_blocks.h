// SPDX-License-Identifier: Apache-2.0
// The blocks of the UNet. Each appends its ops under a path and returns the activation.
#pragma once
#include <string>

#include "engine/ops/ops.h"
#include "models/unet/unet_config.h"

namespace ito {

struct UNetContext {
  Program& program;
  const UNetConfig& config;
  Value emb;              // rows (N, time_dim): what every residual block projects
  uint32_t dropouts = 0;  // numbers the dropout layers
};

enum class Resampling { None, Down, Up, FirDown, FirUp };  // by a mean or copies, or through the filter (1, 3, 3, 1)

struct ResnetOptions {
  int out_channels = 0;
  double output_scale = 1;  // the sum is divided by it
  Resampling resampling = Resampling::None;
  int groups_in = 0, groups_out = 0;  // of the two norms; 0: as the configuration says
  bool projected = false;             // the shortcut, where the channels stay the same too
};

// norm, SiLU, conv, + time, norm, SiLU, dropout, conv, + (projected) input.
Value resnet_block(UNetContext& context, const std::string& path, const Parts& input, const ResnetOptions& options);

// groups 0: no norm in front (the middle block under scale_shift).
Value attention_block(UNetContext& context, const std::string& path, Value x, int groups, double output_scale);

Value downsample_block(UNetContext& context, const std::string& path, Value x, bool as_resnet);
Value upsample_block(UNetContext& context, const std::string& path, Value x, bool as_resnet);

}  // namespace ito
