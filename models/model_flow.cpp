// SPDX-License-Identifier: Apache-2.0
// See model_flow.h.
#include "models/model_flow.h"

#include <cmath>

namespace ito {
namespace {

constexpr double kNoNoise = 1e-4;  // noise to signal: changes ln p by the square of it over a variance

}  // namespace

ModelFlow flow_of(const ModelOnDevice& model, const NoiseSchedule& schedule, double sampling_eps) {
  const Levels levels(schedule, kTerminalAbar);
  const double last = levels.steps() - 1;
  const auto& log_density = model.model.configured.log_density;
  const Level clean = log_density ? levels.of_s(kNoNoise) : levels.at(sampling_eps * last);
  ModelFlow found{probability_flow(levels, Reading::of(model.scheduler), levels.at(last), clean), {}};
  if (log_density) {
    const Mixing end = mixing(Family::Vp, std::exp(found.flow.noise));
    found.end_log_density = [&log_density, end](const float* x) { return log_density(x, end.alpha, end.sigma); };
  }
  return found;
}

}  // namespace ito
