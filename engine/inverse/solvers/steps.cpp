// SPDX-License-Identifier: Apache-2.0
// See steps.h.
#include "engine/inverse/solvers/steps.h"

#include <algorithm>
#include <cmath>

#include "engine/diffusion/schedule.h"

namespace ito {

DdimStep ddim_step(const Level& from, const Level& to, double eta) {
  const double noise = eta * std::sqrt(gaussian_posterior(from.abar, to.abar).variance);
  return {std::sqrt(std::max(1 - to.abar - noise * noise, 0.0)), noise};
}

void add_ddim_step(RowBuilder& rows, const Level& from, const Level& to, double eta) {
  const DdimStep step = ddim_step(from, to, eta);
  rows.call(from).state().x0(to.alpha).eps(step.eps).noise(step.noise);
}

void add_call(RowBuilder& rows, const Level& level) {
  rows.call(level).state().x(1);
}

std::vector<Move> resampling_walk(int steps, int jump_length, int visits) {
  ITO_USER_CHECK(jump_length < steps, "a walk that climbs ", jump_length, " states needs more than ", steps, " steps");
  std::vector<int> left(static_cast<size_t>(steps), 0);  // climbs that state j still has
  for (int j = 0; j < steps - jump_length; j += jump_length) left[static_cast<size_t>(j)] = visits - 1;
  std::vector<Move> walk;
  for (int state = steps - 1; state >= 0;) {  // state j is node steps - 1 - j
    const int reached = state - 1;
    int next = reached;
    if (reached >= 0 && left[static_cast<size_t>(reached)]-- > 0) next = reached + jump_length;
    walk.push_back({.from = steps - 1 - state, .to = steps - 1 - next});
    state = next;
  }
  return walk;
}

double climb_shrink(const Level& from, const Level& to) {
  return to.alpha / from.alpha;
}

}  // namespace ito
