// SPDX-License-Identifier: Apache-2.0
// Pseudo-inverse guidance (Song, Vahdat, Mardani and Kautz 2023): x0 given x_t is taken as N(D, r^2 I), r^2 = 1 - a, so
// that the measurement's score is J^T H^T (r^2 H H^T + s^2)^-1 (y - H D) = g. A step is
//   sqrt(b) D + c2 e + c1 z + w g,   w = sqrt(a b) r^2                              as published
//                                    w = sqrt(b) (1 - a) / sqrt(a) - c2 sqrt(1 - a)  the same step by Bayes' rule
// The second is DDIM's step with the conditional score in place of the network's. r^2 I is not the covariance;
// Tweedie's formula has that one, (1 - a) / sqrt(a) J (Boys et al. 2023, Rozet et al. 2024), and with it and Bayes'
// step the draws of one Gaussian are exact as steps grow. Of an operator that is not linear, H+ y - H+ H(D) stands for
// H^T (..)^-1 r r^2.
#include <algorithm>
#include <cmath>

#include "engine/inverse/solvers/steps.h"

namespace ito {
namespace {

constexpr const char* kSteps[] = {"published", "bayes"};
constexpr const char* kCovariances[] = {"isotropic", "tweedie"};
constexpr const char* kStarts[] = {"noise", "inverse"};
constexpr SamplerOption kEta = {"eta", 1, 0, 1, "noise of a step: 0 none, 1 as DDPM"};
constexpr SamplerOption kStep = choice_option("step", kSteps, "weight of the guidance");
constexpr SamplerOption kWeight = {"weight", 1, 0, 100, "times the guidance"};
constexpr SamplerOption kCovariance =
    choice_option("covariance", kCovariances, "of x0 given x_t: (1 - abar) I, or Tweedie's, whose step is bayes");
constexpr SamplerOption kStart = choice_option("start", kStarts, "plain noise, or around the pseudo-inverse");
constexpr SamplerOption kSolveSteps =
    count_option("solve_steps", 20, 1, 1000, "steps of conjugate gradients, where singular values do not do");
constexpr SamplerOption kOptions[] = {kEta, kStep, kWeight, kCovariance, kStart, kSolveSteps};

// Conjugate gradients of H^T H alone would be singular.
constexpr double kLeastRelativeRidge = 1e-6;

RestorePlan pigdm(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  const bool tweedie = p.option(kCovariance.key) == 1, bayes = tweedie || p.option(kStep.key) == 1;
  ITO_USER_CHECK(!tweedie || p.op.linear(), "solver ", p.solver.name,
                 ": covariance=tweedie needs a linear operator; use covariance=isotropic");
  RowBuilder rows = p.rows();
  const Register gradient = rows.reserve_given();
  EditPlan edits = p.edits();
  std::vector<float> ridges, scales, covariances;
  for (int i = 0; i < p.steps; ++i) {
    const Level &from = nodes[static_cast<size_t>(i)], &to = nodes[static_cast<size_t>(i) + 1];
    const double r2 = from.sigma * from.sigma, s2 = p.noise * p.noise;
    add_ddim_step(rows, from, to, p.option(kEta.key));
    const double c2 = ddim_step(from, to, p.option(kEta.key)).eps;
    double weight = bayes ? to.alpha * r2 / from.alpha - c2 * from.sigma : from.alpha * to.alpha * r2;
    if (!p.op.linear()) weight /= r2;
    rows.reg(gradient, p.option(kWeight.key) * weight);
    edits.row([&](const Coordinate& at) {
      if (!at.measured()) return EditWeights{};
      const double pull = at.value * at.value / (r2 * at.value * at.value + s2);
      return EditWeights{.d = -pull, .y = pull};
    });
    ridges.push_back(static_cast<float>(std::max(s2 / r2, kLeastRelativeRidge)));
    scales.push_back(static_cast<float>(1 / r2));
    covariances.push_back(static_cast<float>(r2 / from.alpha));
  }
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  const int solve_steps = static_cast<int>(p.option(kSolveSteps.key));
  if (tweedie)
    plan.hooks->guidance =
        tweedie_guidance(p.op, covariances, std::max(p.noise, std::sqrt(kLeastRelativeRidge)), solve_steps);
  else if (!p.op.linear())
    plan.hooks->guidance = inverse_guidance(p.op);
  else if (p.op.spectrum())
    plan.hooks->guidance = edit_guidance(p.op, std::move(edits));
  else
    plan.hooks->guidance = solved_guidance(p.op, ridges, scales, solve_steps);
  if (p.option(kStart.key) == 1) {
    ITO_USER_CHECK(p.op.linear() && p.op.has_pseudo_inverse(), "solver ", p.solver.name,
                   ": start=inverse needs a linear operator with a pseudo-inverse; use start=noise");
    EditPlan start = p.edits();
    start.row([&](const Coordinate& at) {
      return EditWeights{.x = nodes.front().sigma, .y = at.measured() ? nodes.front().alpha : 0.0};
    });
    plan.hooks->at_start.emplace(p.op, std::move(start));
  }
  return plan;
}

}  // namespace

extern const Solver kPigdm;
const Solver kPigdm = {
    .name = "pigdm",
    .summary = "the measurement's score of a Gaussian around the estimate, through the network (Song et al. 2023)",
    .usual_steps = 100,
    .published_steps = 100,
    .needs = Needs::LinearOrInverse,
    .needs_noisy = Needs::LinearOrInverse,
    .options = kOptions,
    .plan = pigdm,
};

}  // namespace ito
