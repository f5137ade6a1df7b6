// SPDX-License-Identifier: Apache-2.0
// Heun's second-order rule for the probability flow in y = x / alpha, s = sigma / alpha (Karras et al. 2022, algorithm
// 1), where dy/ds = eps:
//   u = y + h eps(y, s),  y' = y + h/2 (eps(y, s) + eps(u, s')),  h = s' - s,
// and Euler's alone in the last step, to s' = 0. n steps are 2n - 1 network calls. As in diffusers, the slope follows
// from x0 once it is clipped, and a run begins at s_max z, or sqrt(s_max^2 + 1) z where the spacing is leading.
#include "engine/samplers/heun.h"

namespace ito {

ReverseTable heun_table(const SamplingProblem& p, double start_scale) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(start_scale);
  const Churn churn(p);
  churn.open(rows);
  const Register start = rows.reserve(), slope = rows.reserve();
  const auto call = [&](const Level& level) {
    rows.call(level);
    if (p.clip.any()) rows.eps_from_clipped_x0();
  };
  for (int i = 0; i < p.steps(); ++i) {
    const Level from = churn.start(i), to = p.node(i + 1);
    const double h = to.s() - from.s();
    call(from);
    if (to.sigma == 0) {
      rows.state().x(1).eps(h);
      continue;
    }
    rows.set(start).x(1).set(slope).eps(1).state().x(1).eps(h);
    call(to);
    rows.state().reg(start, 1).reg(slope, h / 2).eps(h / 2);
    churn.end_step(rows, i);
  }
  return rows.table();
}

namespace {

ReverseTable heun(const SamplingProblem& p) {
  return heun_table(p, p.sigma_space_start());
}

constexpr SamplerOption kOptions[] = {kKarrasOption, kChurnOption, kChurnMinOption, kChurnMaxOption, kNoiseScaleOption};
constexpr const char* kClasses[] = {"HeunDiscreteScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}};

void class_defaults(SchedulerConfig& config) {
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.timestep_spacing = TimestepSpacing::Linspace;
  config.clip_sample = false;
}

}  // namespace

extern const Sampler kHeun;
const Sampler kHeun = {
    .name = "heun",
    .summary = "second order, two network calls a step (Karras et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = class_defaults,
    .table = heun,
};

}  // namespace ito
