// SPDX-License-Identifier: Apache-2.0
// See churn.h.
#include "engine/samplers/churn.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ito {

Churn::Churn(const SamplingProblem& problem)
    : problem_(problem),
      growth_(std::min(problem.option(kChurnOption.key) / problem.steps(), std::numbers::sqrt2 - 1)),
      least_(problem.option(kChurnMinOption.key)),
      greatest_(problem.option(kChurnMaxOption.key)),
      scale_(problem.option(kNoiseScaleOption.key)) {}

Level Churn::start(int i) const {
  const Level& node = problem_.node(i);
  const double s = node.s();
  if (growth_ == 0 || s < least_ || s > greatest_) return node;
  return problem_.levels.of_s(s * (1 + growth_));
}

double Churn::noise(int i) const {
  const double s = problem_.node(i).s(), up = start(i).s();
  return up > s ? scale_ * std::sqrt(up * up - s * s) : 0;
}

void Churn::open(RowBuilder& rows) const {
  if (growth_ > 0) rows.add_opening_noise(noise(0));
}

void Churn::end_step(RowBuilder& rows, int i) const {
  if (growth_ > 0 && i + 1 < problem_.steps()) rows.noise(noise(i + 1));
}

}  // namespace ito
