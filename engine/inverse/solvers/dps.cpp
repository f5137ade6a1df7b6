// SPDX-License-Identifier: Apache-2.0
// Diffusion posterior sampling (Chung et al. 2023, algorithm 1): the unconditional step, and
//   - zeta grad_x |y - H(D(x))|
// with the norm over one image; the authors' code takes it over the batch, which couples its images. Their zeta is of
// that code; the paper's, zeta' grad |r|^2 / |r|, is half of it. Nothing ties the spread of the draws to the noise of
// the measurement, and zeta is a length: of the whole image a step.
#include "engine/inverse/solvers/dps.h"

#include <cmath>

namespace ito {
namespace {

constexpr SamplerOption kZeta = {
    "zeta", 0, 0, 1000,
    "length of a guided step; 0: the published one, 1 where H is not linear, 0.5 of masks, "
    "else 0.3"};
constexpr SamplerOption kOptions[] = {kZeta, kResidualEta, kResidualVariance};

double published_zeta(MeasurementOperator& op) {
  if (!op.linear()) return 1;
  Spectrum* spectrum = op.spectrum();
  return spectrum && spectrum->is_pixel_basis() && spectrum->values().front() == 0 ? 0.5 : 0.3;
}

RestorePlan dps(const RestoreProblem& p) {
  const double zeta = p.option(kZeta.key);
  return residual_plan(p, p.nodes(), zeta > 0 ? zeta : published_zeta(p.op));
}

}  // namespace

RestorePlan residual_plan(const RestoreProblem& p, const std::vector<Level>& nodes, double weight) {
  const double eta = p.option(kResidualEta.key);
  const bool learned = p.flag(kResidualVariance.key);
  ITO_USER_CHECK(!learned || (p.config.variance_type == VarianceType::LearnedRange && eta == 1), "solver ",
                 p.solver.name, ": learned_variance needs a model of variance_type learned_range, and eta=1");
  RowBuilder rows = p.rows();
  const Register gradient = rows.reserve_given();
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    const Level &from = nodes[i], &to = nodes[i + 1];
    if (learned && to.sigma > 0) {
      const DdimStep step = ddim_step(from, to, 1);  // the range is from its variance to the forward step's
      add_estimate(rows, from);
      rows.state().x0(to.alpha).eps(step.eps).noise(1);
      rows.learned_variance(std::log(1 - from.abar / to.abar), 2 * std::log(step.noise));
    } else {
      add_ddim_step(rows, from, to, eta);
    }
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
