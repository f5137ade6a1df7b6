// SPDX-License-Identifier: Apache-2.0
// Rows of training, an image each: what epsilon, sample and v_prediction give at three levels, one in which everything
// has a part, and one whose second draw is all of it.
#pragma once
#include <vector>

#include "kernels/diffusion/forward_row.h"

namespace ito::cases {

inline const std::vector<ForwardRow> kForwardRows = {
    {.timestep = 0, .x0 = 0.999f, .eps = 0.04f, .target_eps = 1, .weight = 0.5f, .level = 0},
    {.timestep = 41, .x0 = 0.7f, .eps = 0.71f, .target_x0 = 1, .weight = 1.25f, .level = 1},
    {.timestep = 999,
     .x0 = 0.01f,
     .eps = 0.99995f,
     .target_x0 = -0.99995f,
     .target_eps = 0.01f,
     .weight = 3,
     .level = 2},
    {.timestep = 7.5f,
     .x0 = 0.8f,
     .eps = -0.5f,
     .eps2 = 0.3f,
     .target_x0 = 0.6f,
     .target_eps = -1.1f,
     .target_eps2 = 0.4f,
     .weight = 1,
     .level = 3},
    {.timestep = 8, .eps2 = 1, .target_eps2 = 1, .weight = 1, .level = 4},
};

}  // namespace ito::cases
