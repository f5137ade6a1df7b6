// SPDX-License-Identifier: Apache-2.0
// Manifold constrained gradients (Chung, Sim, Ryu and Ye 2022): the step of DPS with - alpha / |r| grad |r|^2, and then
// the measured coordinates are written over by the data at the new level, so that they come out as measured, noise and
// all.
#include "engine/inverse/solvers/dps.h"

namespace ito {
namespace {

constexpr SamplerOption kAlpha = {"alpha", 1, 0, 1000, "length of a guided step, twice it"};
constexpr SamplerOption kOptions[] = {kAlpha, kResidualEta, kResidualVariance};

RestorePlan mcg(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  RestorePlan plan = residual_plan(p, nodes, 2 * p.option(kAlpha.key));
  EditPlan after = p.edits();
  int draw = plan.table.draws;
  for (int i = 0; i < p.steps; ++i) after.row(put_in(nodes[static_cast<size_t>(i) + 1]), draw++);
  plan.hooks->after_row.emplace(p.op, std::move(after));
  return plan;
}

}  // namespace

extern const Solver kMcg;
const Solver kMcg = {
    .name = "mcg",
    .summary = "the step of dps, and the data written over its measured part (Chung et al. 2022)",
    .usual_steps = 250,
    .published_steps = 1000,
    .needs = Needs::Projection,
    .needs_noisy = Needs::Projection,
    .options = kOptions,
    .plan = mcg,
};

}  // namespace ito
