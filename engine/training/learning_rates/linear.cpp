// SPDX-License-Identifier: Apache-2.0
// 1 - u, u the part of the run after the warm-up, by the formula of diffusers' get_scheduler.
#include <algorithm>

#include "engine/training/learning_rate.h"

namespace ito {
namespace {

double linear(const RatePlace& place, std::span<const double>) {
  return std::max(0.0, 1 - place.progress());
}

}  // namespace

extern const LearningRate kLinearRate;
const LearningRate kLinearRate = {
    .name = "linear",
    .summary = "down to 0 at the end of the run, in a line",
    .numbers = {},
    .stretches = true,
    .share = linear,
};

}  // namespace ito
