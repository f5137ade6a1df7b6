// SPDX-License-Identifier: Apache-2.0
// Euler's rule with ancestral noise, in y = x / alpha, s = sigma / alpha: the flow is followed below the next level,
// and noise brings the state up to it (ancestral sampling of Song et al. 2021b, appendix F, one step at a time):
//   s_up^2 = eta^2 s'^2 (s^2 - s'^2) / s^2,  s_down^2 = s'^2 - s_up^2,
//   y' = y + (s_down - s) eps(y, s) + s_up z,
// s_up at most s'. The last step ends at clean data, without noise.
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr SamplerOption kEta = {"eta", 1, 0, 1, "1 is as noisy as the training chain, 0 is euler"};

ReverseTable euler_ancestral(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s(), next = p.node(i + 1).s();
    // At zero SNR the stand-in for the last level may be the less noisy one.
    const double fall = std::max(s * s - next * next, 0.0);
    const double up = std::min(next, p.option(kEta.key) * next * std::sqrt(fall) / s);
    rows.call(p.node(i)).state().x(1).eps(std::sqrt(next * next - up * up) - s).noise(up);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kEta, kKarrasOption};
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
