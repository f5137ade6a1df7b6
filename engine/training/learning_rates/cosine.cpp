// SPDX-License-Identifier: Apache-2.0
// (1 + cos(pi u)) / 2, u the part of the run after the warm-up, by the formula of diffusers' get_scheduler (Loshchilov
// and Hutter 2017, eq. 5, without restarts).
#include <cmath>
#include <numbers>

#include "engine/training/learning_rate.h"

namespace ito {
namespace {

double cosine(const RatePlace& place, std::span<const double>) {
  return 0.5 * (1 + std::cos(std::numbers::pi * place.progress()));
}

}  // namespace

extern const LearningRate kCosineRate;
const LearningRate kCosineRate = {
    .name = "cosine",
    .summary = "down to 0 at the end of the run, in half a cosine",
    .numbers = {},
    .stretches = true,
    .share = cosine,
};

}  // namespace ito
