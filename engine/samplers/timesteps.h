// SPDX-License-Identifier: Apache-2.0
// The grids of timesteps on which a sampler calls the network, by the names diffusers gives them.
#pragma once
#include <vector>

#include "engine/diffusion/scheduler_config.h"

namespace ito {

// `count` of the timesteps 0..steps-1, descending:
//   leading   i * floor(steps / count) + offset,          i = count-1 .. 0
//   linspace  round(i * (steps - 1) / (count - 1)),       i = count-1 .. 0
//   trailing  round(steps - i * steps / count) - 1,       i = 0 .. count-1
// round is half to even. The offset belongs to leading only. UserError if count is not in 1..steps or the offset leads
// past the last timestep.
std::vector<int> spaced_timesteps(TimestepSpacing spacing, int steps, int count, int offset);

}  // namespace ito
