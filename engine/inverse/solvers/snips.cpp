// SPDX-License-Identifier: Apache-2.0
// SNIPS (Kawar, Vaksman and Elad 2021, algorithm 1). In the operator's coordinates of x / sqrt(a), at the level s with
// the network's score (d - v) / s^2, a step v' = v + e g + sqrt(2 e) z has
//   not measured      e = c s^2                    g = (d - v) / s^2
//   measured, s < n   e = c s^2 (1 - s^2 / n^2)    g = (d - v) / s^2 + (ybar - v) / (n^2 - s^2)
//   measured, s > n   e = c (s^2 - n^2)            g = (ybar - v) / (s^2 - n^2)
// Above the noise of the data the prior drops out, below it g is the posterior's own score. At the end one denoising,
// without which the last level's noise would stay; the authors' code does without.
#include "engine/inverse/solvers/snips.h"

#include <algorithm>
#include <cmath>

namespace ito {
namespace {

constexpr SamplerOption kSigmaMax = {"sigma_max", 90, 1e-3, 1e6, "the first level, or the model's largest"};
constexpr SamplerOption kSigmaMin = {"sigma_min", 0.01, 1e-6, 1e3, "the last level, or the model's least"};
constexpr SamplerOption kOptions[] = {kLangevinStep, kLangevinInner, kSigmaMax, kSigmaMin};

// Of x = sqrt(a) v at the level; the new x is next_alpha v'.
EditWeights langevin_step(const Level& level, double next_alpha, double c, const Coordinate& at) {
  const double s2 = level.s() * level.s(), n2 = at.noise * at.noise;
  double d = 0, v = 1, y = 0, e = 0;
  if (!at.measured()) {
    e = c * s2;
    d = c, v -= c;
  } else if (s2 < n2) {
    e = c * s2 * (1 - s2 / n2);
    d = e / s2, y = e / (n2 - s2), v -= d + y;
  } else if (s2 > n2) {
    e = c * (s2 - n2);
    y = c, v -= c;
  }
  return {
      .d = next_alpha * d, .x = next_alpha / level.alpha * v, .y = next_alpha * y, .z = next_alpha * std::sqrt(2 * e)};
}

// As much way in all as the authors' ladder walks. Beyond 0.2 the variance of a level is off by more than a tenth.
double usual_step(int levels) {
  constexpr double kPublishedStep = 0.033, kPublishedLevels = 500, kMostStep = 0.2;
  return std::clamp(kPublishedStep * kPublishedLevels / levels, kPublishedStep, kMostStep);
}

RestorePlan snips(const RestoreProblem& p) {
  const std::vector<Level> levels = p.ladder(p.option(kSigmaMax.key), p.option(kSigmaMin.key));
  return langevin_plan(p, levels, [&](const Coordinate&) { return EditWeights{.x = levels.front().sigma}; });
}

}  // namespace

RestorePlan langevin_plan(const RestoreProblem& p, const std::vector<Level>& levels, const EditPlan::Rule& start) {
  const double given = p.option(kLangevinStep.key), c = given > 0 ? given : usual_step(p.steps);
  const int inner = static_cast<int>(p.option(kLangevinInner.key));
  check_rows(p, static_cast<int64_t>(levels.size()) * inner + 1);
  RowBuilder rows = p.rows();
  EditPlan edits = p.edits();
  int draw = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    const Level& level = levels[i];
    const auto step_to = [&](double alpha) {
      return edits.set([&](const Coordinate& at) { return langevin_step(level, alpha, c, at); });
    };
    const int stay = step_to(level.alpha), leave = i + 1 < levels.size() ? step_to(levels[i + 1].alpha) : stay;
    for (int k = 0; k < inner; ++k) {
      add_call(rows, level);
      edits.row(k + 1 < inner ? stay : leave, draw++);
    }
  }
  add_call(rows, levels.back());
  edits.row([](const Coordinate&) { return EditWeights{.d = 1}; });
  RestorePlan plan{.table = rows.table(), .hooks = std::make_unique<MeasurementHooks>(p.op)};
  plan.hooks->in_update.emplace(p.op, std::move(edits));
  EditPlan begin = p.edits();
  begin.row(start);
  plan.hooks->at_start.emplace(p.op, std::move(begin));
  return plan;
}

extern const Solver kSnips;
const Solver kSnips = {
    .name = "snips",
    .summary = "Langevin steps in the operator's coordinates (Kawar, Vaksman and Elad 2021); steps are levels",
    .usual_steps = 100,
    .published_steps = 500,
    .needs = Needs::Spectrum,
    .needs_noisy = Needs::Spectrum,
    .options = kOptions,
    .plan = snips,
};

}  // namespace ito
