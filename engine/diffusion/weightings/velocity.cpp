// SPDX-License-Identifier: Apache-2.0
// The velocity's error, whatever the network predicts. Along the straight path x = (1 - u) x0 + u eps the velocity is
// v = eps - x0 = (x - x0) / u, so that an error of x0 is one of v times 1 / u: 1 / u^2 on the loss of x0, u = s / (1 +
// s) at noise to signal s. Near clean data it grows without bound, and a network of x0 is divided by no less than
// `least` (Li and He 2025, section 4, whose 1 - t is u and its least 0.05). Where the noise of the path is c times as
// large, at the same s, u = s / (c + s): noise_scale. Of flow_prediction it is 1 above `least`.
#include <algorithm>
#include <cmath>

#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

ErrorWeights velocity(double snr, std::span<const double> values) {
  const double least = values[0], scale = values[1];
  const double u = std::max(1 / (1 + scale * std::sqrt(snr)), least);
  const double x0 = 1 / (u * u);
  return {.eps = x0 / snr, .x0 = x0};
}

constexpr ChoiceNumber kNumbers[] = {{"least", 0.05, 1e-6, 1, "the least noise that an error is divided by"},
                                     {"noise_scale", 1, 1e-3, 1e3, "of the path's noise"}};

}  // namespace

extern const Weighting kVelocityWeighting;
const Weighting kVelocityWeighting = {
    .name = "velocity",
    .summary = "the loss of the straight path's velocity; Li and He 2025",
    .numbers = kNumbers,
    .weights = velocity,
};

}  // namespace ito
