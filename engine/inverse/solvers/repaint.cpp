// SPDX-License-Identifier: Apache-2.0
// RePaint (Lugmayr et al. 2022): imputation that goes back. After a step down to level b kept numbers are
// sqrt(b) y + sqrt(1-b) z; where the walk climbs to a noisier level, state and data are noised up to it at once, which
// has the law of the climb's single steps.
#include <algorithm>
#include <cmath>

#include "engine/inverse/solvers/steps.h"

namespace ito {
namespace {

constexpr SamplerOption kJumpLength = count_option("jump_length", 10, 1, 1000, "steps of a climb back to noise");
constexpr SamplerOption kVisits = count_option("visits", 10, 1, 100, "how often a stretch is walked");
constexpr SamplerOption kOptions[] = {kJumpLength, kVisits};

RestorePlan repaint(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  const std::vector<Move> walk =
      resampling_walk(p, static_cast<int>(p.option(kJumpLength.key)), static_cast<int>(p.option(kVisits.key)));
  RowBuilder rows = p.rows();
  for (const Move& move : walk)
    add_ddim_step(rows, nodes[static_cast<size_t>(move.from)], nodes[static_cast<size_t>(move.from) + 1], 1);
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  int draw = plan.table.draws;
  EditPlan after = p.edits();
  for (const Move& move : walk) {
    const Level &down = nodes[static_cast<size_t>(move.from) + 1], &end = nodes[static_cast<size_t>(move.to)];
    const double shrink = climb_shrink(down, end);
    after.row(
        [&](const Coordinate& at) {
          if (at.measured()) return EditWeights{.y = end.alpha, .z = end.sigma};
          return EditWeights{.x = shrink, .z = std::sqrt(std::max(1 - shrink * shrink, 0.0))};
        },
        draw++);
  }
  plan.hooks->after_row.emplace(p.op, std::move(after));
  return plan;
}

}  // namespace

extern const Solver kRepaint;
const Solver kRepaint = {
    .name = "repaint",
    .summary = "imputation that goes back to noise and comes again (Lugmayr et al. 2022); many calls a step",
    .usual_steps = 50,
    .published_steps = 250,
    .needs = Needs::Mask,
    .needs_noisy = Needs::Mask,
    .options = kOptions,
    .plan = repaint,
};

}  // namespace ito
