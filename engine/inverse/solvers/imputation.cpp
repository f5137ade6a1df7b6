// SPDX-License-Identifier: Apache-2.0
// Imputation of the conditional score SDE (Song et al. 2021, appendix I.2): after every Langevin step and every step
// down, the measured coordinates are written over by the data, noised to the state's level:
//   sqrt(c) ybar + sqrt(1-c) z
// The data are taken as exact: their own noise is in the answer.
#include "engine/inverse/solvers/steps.h"

namespace ito {
namespace {

constexpr SamplerOption kCorrectSteps =
    count_option("correct_steps", 1, 0, 100, "Langevin steps before each step down");
constexpr SamplerOption kSnr = {"snr", 0.16, 1e-6, 10, "signal to noise of a Langevin step"};
constexpr SamplerOption kOptions[] = {kCorrectSteps, kSnr};

RestorePlan imputation(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  RowBuilder rows = p.rows();
  std::vector<Level> reached;  // by each row
  for (int i = 0; i < p.steps; ++i) {
    const Level& from = nodes[static_cast<size_t>(i)];
    for (int k = 0; k < static_cast<int>(p.option(kCorrectSteps.key)); ++k) {
      rows.call(from).langevin(p.option(kSnr.key), from.abar / from.previous);
      rows.state().x(1).eps(-1 / from.sigma).noise(1);
      reached.push_back(from);
    }
    add_ddim_step(rows, from, nodes[static_cast<size_t>(i) + 1], 1);
    reached.push_back(nodes[static_cast<size_t>(i) + 1]);
  }
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  int draw = plan.table.draws;
  EditPlan start = p.edits(), after = p.edits();
  start.row(put_in(nodes.front()), draw++);
  for (const Level& level : reached) after.row(put_in(level), draw++);
  plan.hooks->at_start.emplace(p.op, std::move(start));
  plan.hooks->after_row.emplace(p.op, std::move(after));
  return plan;
}

}  // namespace

extern const Solver kImputation;
const Solver kImputation = {
    .name = "imputation",
    .summary = "noised data written over the state at every step (Song et al. 2021)",
    .usual_steps = 250,
    .published_steps = 1000,
    .needs = Needs::Projection,
    .needs_noisy = Needs::Projection,
    .options = kOptions,
    .plan = imputation,
};

}  // namespace ito
