// SPDX-License-Identifier: Apache-2.0
// Ancestral noise in y = x / alpha, s = sigma / alpha, which several samplers add: the flow is followed below the next
// level, and noise brings the state up to it (ancestral sampling of Song et al. 2021b, appendix F, one step at a time).
#pragma once
#include "engine/samplers/sampler.h"

namespace ito {

struct AncestralStep {
  double down, up;  // where the flow ends, and the deviation of the noise: down^2 + up^2 = next^2
};
// From s > 0 to next >= 0. eta: 1 is as noisy as the training chain, 0 is the flow alone, down to `next`.
AncestralStep ancestral_step(double s, double next, double eta);

inline constexpr SamplerOption kAncestralEtaOption = {"eta", 1, 0, 1,
                                                      "1 is as noisy as the training chain, 0 follows the flow"};

}  // namespace ito
