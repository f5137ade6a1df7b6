// SPDX-License-Identifier: Apache-2.0
// One image's place in training, as numbers: how it is noised and what its network is taught. Every prediction type and
// every schedule is such a row, so that the kernels of training know neither.
//   x_t    = x0 x0 + eps eps + eps2 eps2
//   target = target_x0 x0 + target_eps eps + target_eps2 eps2
// eps and eps2 are independent standard normals that each image draws of its own counter (Purpose::Noise and
// Purpose::SecondNoise); a coefficient of 0 draws or reads nothing.
#pragma once
#include <cstdint>

namespace ito {

struct ForwardRow {
  float timestep = 0;  // what the network is given
  float x0 = 0, eps = 0, eps2 = 0;
  float target_x0 = 0, target_eps = 0, target_eps2 = 0;
  float weight = 1;   // of the squared error
  float scale = 1;    // of any loss, for how often the level is drawn; part of the weight
  int32_t level = 0;  // index of the row in the table it was drawn from
};

}  // namespace ito
