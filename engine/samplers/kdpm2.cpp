// SPDX-License-Identifier: Apache-2.0
// The midpoint rule for the probability flow in y = x / alpha, s = sigma / alpha, with the midpoint taken in ln s
// (DPM-Solver-2 of Lu et al. 2022a, in the form that Karras et al. 2022 compare with):
//   m = sqrt(s s'),  u = y + (m - s) eps(y, s),  y' = y + (s' - s) eps(u, m),
// and Euler's rule alone in the last step, to s' = 0. n steps are 2n - 1 network calls. As in diffusers, the times of
// Karras' levels are rounded; those of midpoints are not, nor those of levels with churn.
#include <cmath>

#include "engine/samplers/churn.h"

namespace ito {
namespace {

ReverseTable kdpm2(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  const Churn churn(p);
  churn.open(rows);
  const Register start = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    Level from = churn.start(i);
    if (p.flag(kKarrasOption.key) && from.time == p.node(i).time) from.time = std::nearbyint(from.time);
    const double s = from.s(), next = p.node(i + 1).s();
    rows.call(from);
    if (next == 0) {
      rows.state().x(1).eps(-s);
      continue;
    }
    const Level middle = p.levels.of_s(std::sqrt(s * next));
    rows.set(start).x(1).state().x(1).eps(middle.s() - s);
    rows.call(middle).state().reg(start, 1).eps(next - s);
    churn.end_step(rows, i);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kKarrasOption, kChurnOption, kChurnMinOption, kChurnMaxOption, kNoiseScaleOption};
constexpr const char* kClasses[] = {"KDPM2DiscreteScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}};

void kdpm2_defaults(SchedulerConfig& config) {
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.timestep_spacing = TimestepSpacing::Linspace;
}

}  // namespace

extern const Sampler kKdpm2;
const Sampler kKdpm2 = {
    .name = "kdpm2",
    .summary = "second order by the midpoint, two network calls a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = kdpm2_defaults,
    .table = kdpm2,
};

}  // namespace ito
