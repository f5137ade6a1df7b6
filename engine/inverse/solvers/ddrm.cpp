// SPDX-License-Identifier: Apache-2.0
// DDRM (Kawar, Elad, Ermon and Song 2022). With x / sqrt(a) = x0 + s_t eps as the state, in the operator's coordinates,
// a step from s_t to s_u with k = sqrt(1 - eta^2) is
//   not measured           d + k s_u (v - d) / s_t + eta s_u z
//   measured, s_u < n      d + k s_u (ybar - d) / n + eta s_u z
//   measured, s_u >= n     (1 - eta_b) d + eta_b ybar + sqrt(s_u^2 - eta_b^2 n^2) z
// n the noise of the data in that coordinate. Nothing is divided by a singular value of 0.
#include "engine/inverse/solvers/ddrm.h"

#include <algorithm>
#include <cmath>

namespace ito {
namespace {

constexpr SamplerOption kEta = {"eta", 0.85, 0, 1, "how much of a step's noise is new, 1: all"};
constexpr SamplerOption kEtaB = {"eta_b", 1, 0, 1, "weight of the data in coordinates that they know better"};
constexpr SamplerOption kOptions[] = {kEta, kEtaB};

RestorePlan ddrm(const RestoreProblem& p) {
  return ddrm_plan(p, {.eta = p.option(kEta.key), .eta_b = p.option(kEtaB.key), .starts_at_data = true});
}

// The edit of x from level a to level b: the rule above times sqrt(b), of x = sqrt(a) v.
EditWeights step(const DdrmRule& rule, const Level& from, const Level& to, const Coordinate& at) {
  const double s_t = from.s(), s_u = to.s(), keep = std::sqrt(1 - rule.eta * rule.eta), b = to.alpha, n = at.noise;
  if (!at.measured()) return {b * (1 - keep * s_u / s_t), b * keep * s_u / s_t / from.alpha, 0, rule.eta * to.sigma};
  if (s_u < n) return {b * (1 - keep * s_u / n), 0, b * keep * s_u / n, rule.eta * to.sigma};
  const double noise = std::max(s_u * s_u - rule.eta_b * rule.eta_b * n * n, 0.0);
  return {b * (1 - rule.eta_b), 0, b * rule.eta_b, b * std::sqrt(noise)};
}

}  // namespace

RestorePlan walk_plan(const RestoreProblem& p, const std::vector<Level>& nodes, const std::vector<Move>& walk,
                      const StepRule& rule) {
  RowBuilder rows = p.rows();
  EditPlan edits = p.edits();
  for (size_t i = 0; i < walk.size(); ++i) {
    const Level &from = nodes[static_cast<size_t>(walk[i].from)], &down = nodes[static_cast<size_t>(walk[i].from) + 1];
    const double shrink = climb_shrink(down, nodes[static_cast<size_t>(walk[i].to)]);
    const EditPlan::Rule step = rule(from, down);
    const auto climbed = [&](const Coordinate& at) {
      EditWeights k = step(at);
      const double z = shrink * k.z;
      k = {.d = shrink * k.d,
           .x = shrink * k.x,
           .y = shrink * k.y,
           .z = std::sqrt(z * z + std::max(1 - shrink * shrink, 0.0))};
      return k;
    };
    add_call(rows, from);
    edits.row(shrink == 1 ? step : EditPlan::Rule(climbed), static_cast<int>(i));
  }
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  plan.hooks->in_update.emplace(p.op, std::move(edits));
  return plan;
}

RestorePlan ddrm_plan(const RestoreProblem& p, const DdrmRule& rule) {
  const std::vector<Level> nodes = p.nodes();
  RestorePlan plan = walk_plan(p, nodes, resampling_walk(p, rule.travel_length, rule.travel_visits),
                               [&](const Level& from, const Level& to) {
                                 return [&rule, from, to](const Coordinate& at) { return step(rule, from, to, at); };
                               });
  if (!rule.starts_at_data) return plan;
  EditPlan start = p.edits();
  const Level& first = nodes.front();
  start.row([&](const Coordinate& at) {
    const double s = first.s();
    if (!at.measured() || at.noise >= s) return EditWeights{.x = first.sigma};
    return EditWeights{.x = first.alpha * std::sqrt(s * s - at.noise * at.noise), .y = first.alpha};
  });
  plan.hooks->at_start.emplace(p.op, std::move(start));
  return plan;
}

extern const Solver kDdrm;
const Solver kDdrm = {
    .name = "ddrm",
    .summary = "the data coordinate by coordinate, each at its own noise (Kawar et al. 2022)",
    .usual_steps = 20,
    .published_steps = 20,
    .needs = Needs::Spectrum,
    .needs_noisy = Needs::Spectrum,
    .options = kOptions,
    .plan = ddrm,
};

}  // namespace ito
