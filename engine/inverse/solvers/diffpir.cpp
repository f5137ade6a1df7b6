// SPDX-License-Identifier: Apache-2.0
// DiffPIR (Zhu et al. 2023): the estimate is moved to where prior and data agree,
//   D' = argmin |y - H x|^2 + rho |x - D|^2 = D + (H^T H + rho)^-1 H^T (y - H D),   rho = lambda s^2 / s_t^2,
// and the step goes on from there: x' = sqrt(b) D' + sqrt(1-b) (sqrt(1 - zeta) e' + sqrt(zeta) z), with e' the noise
// that belongs to D'. A measurement without noise is taken to have 1e-3. Timesteps are spaced so that their squares lie
// evenly.
#include <algorithm>
#include <cmath>

#include "engine/inverse/solvers/steps.h"

namespace ito {
namespace {

constexpr SamplerOption kLambda = {"lambda", 7, 1e-6, 1e6, "weight of the estimate against the data"};
constexpr SamplerOption kZeta = {"zeta", 0.3, 0, 1, "how much of a step's noise is new"};
constexpr SamplerOption kSolveSteps =
    count_option("solve_steps", 20, 1, 1000, "steps of conjugate gradients, where there are no singular values");
constexpr SamplerOption kOptions[] = {kLambda, kZeta, kSolveSteps};
constexpr double kLeastNoise = 1e-3, kLeastRidge = 1e-6;  // of H^T H alone, conjugate gradients would be singular

std::vector<Level> nodes_of(const RestoreProblem& p) {
  std::vector<Level> nodes;
  const double last = p.levels.steps() - 1;
  double before = last + 1;
  for (int i = 0; i < p.steps; ++i) {
    const double left = p.steps > 1 ? (p.steps - 1.0 - i) / (p.steps - 1.0) : 1;
    const double time = std::min(std::round(last * std::sqrt(left)), before - 1);  // no timestep twice
    ITO_USER_CHECK(time >= 0, "solver ", p.solver.name, ": ", p.steps, " steps are more than the model has timesteps");
    nodes.push_back(p.levels.at(time));
    before = time;
  }
  nodes.push_back(p.levels.at(-1));
  return nodes;
}

RestorePlan diffpir(const RestoreProblem& p) {
  const std::vector<Level> nodes = nodes_of(p);
  const double zeta = p.option(kZeta.key), keep = std::sqrt(1 - zeta), noise = std::max(p.noise, kLeastNoise);
  RowBuilder rows = p.rows();
  const Register move = rows.reserve_given();
  EditPlan edits = p.edits();
  std::vector<float> ridges;
  for (int i = 0; i < p.steps; ++i) {
    const Level &from = nodes[static_cast<size_t>(i)], &to = nodes[static_cast<size_t>(i) + 1];
    const double rho = p.option(kLambda.key) * noise * noise / (from.s() * from.s());
    add_estimate(rows, from);
    rows.state().x0(to.alpha).eps(to.sigma * keep).noise(to.sigma * std::sqrt(zeta));
    rows.reg(move, to.alpha - to.sigma * keep / from.s());
    edits.row([&](const Coordinate& at) {
      const double pull = at.value * at.value / (at.value * at.value + rho);
      return EditWeights{.d = -pull, .y = pull};
    });
    ridges.push_back(static_cast<float>(std::max(rho, kLeastRidge)));
  }
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  plan.hooks->guidance = p.op.spectrum() ? edit_guidance(p.op, std::move(edits))
                                         : solved_guidance(p.op, ridges, std::vector<float>(ridges.size(), 1),
                                                           static_cast<int>(p.option(kSolveSteps.key)));
  plan.hooks->pulls_back = false;
  return plan;
}

}  // namespace

extern const Solver kDiffpir;
const Solver kDiffpir = {
    .name = "diffpir",
    .summary = "the estimate moved to where prior and data agree (Zhu et al. 2023)",
    .usual_steps = 100,
    .published_steps = 100,
    .needs = Needs::Linear,
    .needs_noisy = Needs::Linear,
    .options = kOptions,
    .plan = diffpir,
};

}  // namespace ito
