// SPDX-License-Identifier: Apache-2.0
// kdpm2 with ancestral noise (ancestral.h): the midpoint rule as far as s_down, then noise up to the next level:
//   m = sqrt(s s_down),  u = y + (m - s) eps(y, s),  y' = y + (s_down - s) eps(u, m) + s_noise s_up z,
// and Euler's rule alone in the last step, to clean data. n steps are 2n - 1 network calls. Times as kdpm2 has them.
#include <cmath>

#include "engine/samplers/ancestral.h"

namespace ito {
namespace {

ReverseTable kdpm2_ancestral(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  const Register start = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    Level from = p.node(i);
    if (p.flag(kKarrasOption.key)) from.time = std::nearbyint(from.time);
    const double s = from.s(), next = p.node(i + 1).s();
    rows.call(from);
    if (next == 0) {
      rows.state().x(1).eps(-s);
      continue;
    }
    const AncestralStep to = ancestral_step(s, next, p.option(kAncestralEtaOption.key));
    const Level middle = p.levels.of_s(std::sqrt(s * to.down));
    rows.set(start).x(1).state().x(1).eps(middle.s() - s);
    rows.call(middle).state().reg(start, 1).eps(to.down - s).noise(p.option(kNoiseScaleOption.key) * to.up);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kAncestralEtaOption, kKarrasOption, kNoiseScaleOption};
constexpr const char* kClasses[] = {"KDPM2AncestralDiscreteScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}};

void kdpm2_ancestral_defaults(SchedulerConfig& config) {
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.timestep_spacing = TimestepSpacing::Linspace;
}

}  // namespace

extern const Sampler kKdpm2Ancestral;
const Sampler kKdpm2Ancestral = {
    .name = "kdpm2-ancestral",
    .summary = "kdpm2 with the training chain's noise between steps",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = kdpm2_ancestral_defaults,
    .table = kdpm2_ancestral,
};

}  // namespace ito
