// SPDX-License-Identifier: Apache-2.0
// 1 / sqrt(max(s / reference, 1)), s steps from the run's beginning, warm-up included (Karras et al. 2024): the peak
// until the reference, then down without an end, so that a run may be continued further. The published runs have
// references of 35000 to 70000 steps of 2048 images.
#include <algorithm>
#include <cmath>

#include "engine/training/learning_rate.h"

namespace ito {
namespace {

double inverse_sqrt(const RatePlace& place, std::span<const double> values) {
  return 1 / std::sqrt(std::max(place.step / values[0], 1.0));
}

constexpr ChoiceNumber kNumbers[] = {{"reference", 70000, 1, 1e12, "the step that the rate falls from"}};

}  // namespace

extern const LearningRate kInverseSqrtRate;
const LearningRate kInverseSqrtRate = {
    .name = "inverse-sqrt",
    .summary = "with the root of the steps past a reference; Karras et al. 2024",
    .numbers = kNumbers,
    .stretches = false,
    .share = inverse_sqrt,
};

}  // namespace ito
