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

void add_estimate(RowBuilder& rows, const Level& level) {
  rows.call(level);
  if (rows.clips()) rows.eps_from_clipped_x0();
}

void add_ddim_step(RowBuilder& rows, const Level& from, const Level& to, double eta) {
  const DdimStep step = ddim_step(from, to, eta);
  add_estimate(rows, from);
  rows.state().x0(to.alpha).eps(step.eps).noise(step.noise);
}

void add_call(RowBuilder& rows, const Level& level) {
  rows.call(level).state().x(1);
}

std::vector<Move> resampling_walk(const RestoreProblem& p, int jump_length, int visits) {
  const int steps = p.steps;
  ITO_USER_CHECK(visits == 1 || jump_length < steps, "solver ", p.solver.name, ": climbs of ", jump_length,
                 " steps in a run of ", steps, "; take more steps, or shorter climbs");
  check_rows(p, steps + int64_t{1} * steps * (visits - 1));
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

void check_rows(const RestoreProblem& p, int64_t rows) {
  ITO_USER_CHECK(rows <= kMostRows, "solver ", p.solver.name, ": asks the network ", rows,
                 " times a draw; expected at most ", kMostRows, "; take fewer steps");
}

EditPlan::Rule put_in(const Level& at_level) {
  return [=](const Coordinate& at) {
    if (!at.measured()) return EditWeights{.x = 1};
    return EditWeights{.y = at_level.alpha, .z = at_level.sigma};
  };
}

double climb_shrink(const Level& from, const Level& to) {
  return to.alpha / from.alpha;
}

}  // namespace ito
