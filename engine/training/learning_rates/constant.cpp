// SPDX-License-Identifier: Apache-2.0
// The peak at every step after the warm-up; a run may be continued further.
#include "engine/training/learning_rate.h"

namespace ito {
namespace {

double constant(const RatePlace&, std::span<const double>) {
  return 1;
}

}  // namespace

extern const LearningRate kConstantRate;
const LearningRate kConstantRate = {
    .name = "constant",
    .summary = "the peak throughout",
    .numbers = {},
    .stretches = false,
    .share = constant,
};

}  // namespace ito
