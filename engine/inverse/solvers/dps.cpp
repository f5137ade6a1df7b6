// SPDX-License-Identifier: Apache-2.0
// Diffusion posterior sampling (Chung et al. 2023, algorithm 1): the unconditional step, and
//   - zeta grad_x |y - H(D(x))|
// with the norm over one image; the authors' code takes it over the batch, which couples its images. Their zeta is of
// that code; the paper's, zeta' grad |r|^2 / |r|, is half of it. Nothing ties the spread of the draws to the noise of
// the measurement, and zeta is a length: of the whole image a step.
#include "engine/inverse/solvers/dps.h"

namespace ito {
namespace {

constexpr SamplerOption kZeta = {
    "zeta", 0, 0, 1000,
    "length of a guided step; 0: the published one, 1 where H is not linear, 0.5 of masks, "
    "else 0.3"};
constexpr SamplerOption kEta = {"eta", 1, 0, 1, "noise of a step: 0 none, 1 as DDPM"};
constexpr SamplerOption kOptions[] = {kZeta, kEta};

double published_zeta(MeasurementOperator& op) {
  if (!op.linear()) return 1;
  return op.spectrum() && op.spectrum()->is_pixel_basis() ? 0.5 : 0.3;
}

RestorePlan dps(const RestoreProblem& p) {
  const double zeta = p.option(kZeta.key);
  return residual_plan(p, p.nodes(), p.option(kEta.key), zeta > 0 ? zeta : published_zeta(p.op));
}

}  // namespace

RestorePlan residual_plan(const RestoreProblem& p, const std::vector<Level>& nodes, double eta, double weight) {
  RowBuilder rows = p.rows();
  const Register gradient = rows.reserve_given();
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    add_ddim_step(rows, nodes[i], nodes[i + 1], eta);
    rows.reg(gradient, weight);
  }
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  plan.hooks->guidance = residual_guidance(p.op);
  return plan;
}

extern const Solver kDps;
const Solver kDps = {
    .name = "dps",
    .summary = "steps down the gradient of the residual, through the network (Chung et al. 2023)",
    .usual_steps = 250,
    .published_steps = 1000,
    .needs = Needs::Derivative,
    .needs_noisy = Needs::Derivative,
    .options = kOptions,
    .plan = dps,
};

}  // namespace ito
