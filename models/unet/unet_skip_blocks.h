// SPDX-License-Identifier: Apache-2.0
// The blocks of NCSN++ (Song et al. 2021, appendix H) as diffusers has them: sums over sqrt(2), resampling through the
// filter (1, 3, 3, 1), and the image itself beside the path, halved on the way down and read by every level, made on
// the way up by every level and doubled. Nothing here but the norm_eps and the activation is the configuration's.
#pragma once
#include "models/unet/unet_blocks.h"

namespace ito {

// What every sum of such a block is divided by.
inline constexpr double kSkipScale = 1.4142135623730951;
// Groups of the norm before its attention.
inline constexpr int kSkipAttentionGroups = 32;

// A layer of the down path.
ResnetOptions skip_down_layer(int in_channels, int out_channels);
// And of the up path, which reads what came from below beside what was kept. Before an attention the published network
// counts the groups of the first norm in another way.
ResnetOptions skip_up_layer(int below, int kept, int out_channels, bool attends);

// To half the size: h by a residual block, the image through the filter, and their sum, the image projected.
Value skip_downsample(UNetContext& context, const std::string& path, Value h, Value& image);

// Doubles the image, where there is one, and unless this is the topmost block adds what h says of it, and doubles h.
Value skip_upsample(UNetContext& context, const std::string& path, Value h, Value& image, bool topmost);

}  // namespace ito
