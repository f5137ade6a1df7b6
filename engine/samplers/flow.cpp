// SPDX-License-Identifier: Apache-2.0
// See flow.h.
#include "engine/samplers/flow.h"

#include <cmath>
#include <limits>

namespace ito {

RowBuilder flow_rows(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Flow, p.clip);
  const Mixing first = p.reading.state(p.node(0), Space::Flow);
  rows.start_at(std::hypot(first.alpha, first.sigma));
  return rows;
}

double flow_time(const Level& level) {
  return level.sigma / (level.alpha + level.sigma);
}

Level flow_level(const SamplingProblem& p, double u) {
  return p.levels.of_s(u < 1 ? u / (1 - u) : std::numeric_limits<double>::infinity());
}

void add_velocity(RowBuilder& rows, double weight) {
  rows.eps(weight).x0(-weight);
}

void flow_defaults(SchedulerConfig& config) {
  config.prediction_type = Quantity::flow();
  config.clip_sample = false;
}

}  // namespace ito
