// SPDX-License-Identifier: Apache-2.0
// The blend of measurement and state in the transform domain (Song, Shen, Xing and Ermon 2022, for medical images):
// before every step the measured coordinates become
//   lambda (sqrt(a) ybar + sqrt(1-a) z) + (1 - lambda) v
// lambda = 1 is imputation. The authors tune it on held-out images and publish no default.
#include "engine/inverse/solvers/steps.h"

namespace ito {
namespace {

constexpr SamplerOption kLambda = {"lambda", 0.5, 0, 1, "weight of the data"};
constexpr SamplerOption kOptions[] = {kLambda};

RestorePlan blend(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  const double lambda = p.option(kLambda.key);
  RowBuilder rows = p.rows();
  for (int i = 0; i < p.steps; ++i)
    add_ddim_step(rows, nodes[static_cast<size_t>(i)], nodes[static_cast<size_t>(i) + 1], 1);
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  const auto blended = [&](const Level& level) {
    return [=](const Coordinate& at) {
      if (!at.measured()) return EditWeights{.x = 1};
      return EditWeights{.x = 1 - lambda, .y = lambda * level.alpha, .z = lambda * level.sigma};
    };
  };
  int draw = plan.table.draws;
  EditPlan start = p.edits(), after = p.edits();
  start.row(blended(nodes.front()), draw++);
  for (int i = 1; i < p.steps; ++i) after.row(blended(nodes[static_cast<size_t>(i)]), draw++);
  after.row([](const Coordinate&) { return EditWeights{.x = 1}; });  // the last step is the network's alone
  plan.hooks->at_start.emplace(p.op, std::move(start));
  plan.hooks->after_row.emplace(p.op, std::move(after));
  return plan;
}

}  // namespace

extern const Solver kBlend;
const Solver kBlend = {
    .name = "blend",
    .summary = "noised data mixed into the state before every step (Song et al. 2022)",
    .usual_steps = 250,
    .published_steps = 1000,
    .needs = Needs::Projection,
    .needs_noisy = Needs::Projection,
    .options = kOptions,
    .plan = blend,
};

}  // namespace ito
