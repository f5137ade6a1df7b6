// SPDX-License-Identifier: Apache-2.0
// What `ito train --print-weights` prints: how much each timestep counts.
#pragma once
#include "engine/diffusion/schedule.h"
#include "engine/diffusion/weighting.h"
#include "engine/training/level_draw.h"

namespace ito {

// A line a timestep: abar, SNR, the weight of its squared error, the chance of its draw when training begins.
void print_weight_table(const NoiseSchedule& schedule, const LossWeighting& weighting, const LevelDrawChoice& draw,
                        bool json);

}  // namespace ito
