// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1, at the middle in lambda) with ancestral noise (ancestral.h), in y = x
// / alpha, s = sigma / alpha:
//   m = sqrt(s s_down),  u = m/s y + (1 - m/s) x0(y, s),
//   y' = s_down/s y + (1 - s_down/s) x0(u, m) + s_noise s_up z,
// and the x0 estimate itself in the last step, to clean data. n steps are 2n - 1 network calls. With eta 0 it is the
// deterministic rule, of second order.
#include <cmath>

#include "engine/samplers/ancestral.h"

namespace ito {
namespace {

ReverseTable dpmpp_2s_ancestral(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  const Register start = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s(), next = p.node(i + 1).s();
    rows.call(p.node(i));
    if (next == 0) {
      rows.state().x0(1);
      continue;
    }
    const AncestralStep to = ancestral_step(s, next, p.option(kAncestralEtaOption.key));
    const double kept = to.down / s, halfway = std::sqrt(kept);
    rows.set(start).x(1).state().x(halfway).x0(1 - halfway);
    rows.call(p.levels.of_s(s * halfway)).state().reg(start, kept).x0(1 - kept);
    rows.noise(p.option(kNoiseScaleOption.key) * to.up);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kAncestralEtaOption, kKarrasOption, kNoiseScaleOption};

}  // namespace

extern const Sampler kDpmPp2sAncestral;
const Sampler kDpmPp2sAncestral = {
    .name = "dpm++2s-ancestral",
    .summary = "second order with ancestral noise, two network calls a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_2s_ancestral,
};

}  // namespace ito
