// SPDX-License-Identifier: Apache-2.0
// Euler's rule with ancestral noise (ancestral.h), in y = x / alpha, s = sigma / alpha:
//   y' = y + (s_down - s) eps(y, s) + s_noise s_up z.
// The last step ends at clean data, without noise.
#include "engine/samplers/ancestral.h"

namespace ito {
namespace {

ReverseTable euler_ancestral(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s();
    const AncestralStep to = ancestral_step(s, p.node(i + 1).s(), p.option(kAncestralEtaOption.key));
    rows.call(p.node(i)).state().x(1).eps(to.down - s).noise(p.option(kNoiseScaleOption.key) * to.up);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kAncestralEtaOption, kKarrasOption, kNoiseScaleOption};
constexpr const char* kClasses[] = {"EulerAncestralDiscreteScheduler"};

}  // namespace

extern const Sampler kEulerAncestral;
const Sampler kEulerAncestral = {
    .name = "euler-ancestral",
    .summary = "euler with the training chain's noise between steps",
    .usual_steps = 50,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = linspace_by_default,
    .table = euler_ancestral,
};

}  // namespace ito
