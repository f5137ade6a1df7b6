// SPDX-License-Identifier: Apache-2.0
// Every timestep as likely as every other (Ho et al. 2020, algorithm 1; for a flow Liu et al. 2023).
#include "engine/training/level_draw.h"

namespace ito {

extern const LevelDraw kUniformDraw;
const LevelDraw kUniformDraw = {
    .name = "uniform",
    .summary = "all timesteps alike",
    .numbers = {},
    .usual_for = {},
    .cumulative = nullptr,
};

}  // namespace ito
