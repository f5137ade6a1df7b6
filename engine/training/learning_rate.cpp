// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules, by the formulas of diffusers' get_scheduler.
#include "engine/training/learning_rate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {
constexpr std::array<std::string_view, 3> kShapes = {"constant", "linear",
                                                     "cosine"};  // in the order of the enumerators
}

LearningRateShape learning_rate_shape_of(std::string_view name, const std::string& where) {
  std::string allowed;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    if (kShapes[i] == name) return static_cast<LearningRateShape>(i);
    allowed += (i ? ", " : "") + std::string(kShapes[i]);
  }
  fail<UserError>(where, ": learning-rate schedule '", name, "' is not implemented; use one of ", allowed,
                  did_you_mean(name, {kShapes.begin(), kShapes.end()}));
}

std::string_view name_of(LearningRateShape shape) {
  return kShapes.at(static_cast<size_t>(shape));
}

double learning_rate_at(const LearningRateConfig& config, int64_t step) {
  if (step < config.warmup_steps)
    return config.peak * static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  const double length = static_cast<double>(std::max<int64_t>(1, config.steps - config.warmup_steps));
  const double progress = static_cast<double>(step - config.warmup_steps) / length;
  switch (config.shape) {
    case LearningRateShape::Constant:
      return config.peak;
    case LearningRateShape::Linear:
      return config.peak * std::max(0.0, 1 - progress);
    case LearningRateShape::Cosine:
      return config.peak * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  return config.peak;
}

std::vector<float> learning_rate_table(const LearningRateConfig& config) {
  ITO_USER_CHECK(config.peak >= 0 && std::isfinite(config.peak), "learning rate is ", config.peak,
                 "; expected a number, 0 or more");
  ITO_USER_CHECK(config.warmup_steps >= 0, "learning rate: warm-up is ", config.warmup_steps,
                 " steps; expected 0 or more");
  ITO_USER_CHECK(config.steps >= 0, "learning rate: the run is ", config.steps, " steps; expected 0 or more");
  std::vector<float> table(static_cast<size_t>(config.steps));
  for (int64_t s = 0; s < config.steps; ++s) table[s] = static_cast<float>(learning_rate_at(config, s));
  return table;
}

}  // namespace ito
