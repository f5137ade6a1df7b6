// SPDX-License-Identifier: Apache-2.0
// The table of training: how an image is noised at each timestep and what the network is then taught, computed in
// double and rounded to fp32 once. The kernels of training see nothing else of schedule and prediction type.
#pragma once
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/reading.h"
#include "engine/diffusion/weighting.h"
#include "kernels/diffusion/forward_row.h"

namespace ito {

// A row for every timestep 0..T-1. UserError where the weighting has a weight that fp32 does not hold.
std::vector<ForwardRow> forward_rows(const Levels& levels, const Reading& reading, const LossWeighting& weighting = {});

}  // namespace ito
