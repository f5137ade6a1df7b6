// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++ for the reverse SDE by two calls a step (the two-stage rule of Lu et al. 2022b with ancestral noise in
// both stages), in y = x / alpha, s = sigma / alpha, with the middle at half the step in lambda, m = sqrt(s s'):
//   u  = d/s y + (1 - d/s) x0(y, s) + s_noise up z1,   (d, up) the ancestral pair from s to m (ancestral.h),
//   y' = d/s y + (1 - d/s) x0(u, m) + s_noise up z2,   (d, up) that from s to s'.
// z1 and z2 belong to one Brownian motion in s, from s to m and from s to s', as where the rule is in use: they are
// correlated by sqrt((s - m) / (s - s')), about 0.7. Of independent ones the estimate at m would know nothing that the
// step keeps, and a fifth of the variance of normal data would be missing after 25 steps, not a twentieth.
// The last step, to clean data, is the x0 estimate itself. n steps are 2n - 1 network calls.
#include <cmath>

#include "engine/samplers/ancestral.h"

namespace ito {
namespace {

constexpr SamplerOption kOnePath =
    flag_option("one_path", true, "the draws of a step belong to one Brownian motion; false: they are independent");

ReverseTable dpmpp_sde(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  const Register start = rows.reserve(), path = rows.reserve();
  const double eta = p.option(kAncestralEtaOption.key), scale = p.option(kNoiseScaleOption.key);
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s(), next = p.node(i + 1).s();
    rows.call(p.node(i));
    if (next == 0) {
      rows.state().x0(1);
      continue;
    }
    const Level middle = p.levels.of_s(std::sqrt(s * next));
    const AncestralStep inner = ancestral_step(s, middle.s(), eta), outer = ancestral_step(s, next, eta);
    const bool shared = p.flag(kOnePath.key) && scale * inner.up > 0;
    const double shared_variance = shared ? (s - middle.s()) / (s - next) : 0;
    rows.set(start).x(1);
    if (shared) rows.set(path).noise(1);
    rows.state().x(inner.down / s).x0(1 - inner.down / s).noise(scale * inner.up);
    rows.call(middle).state().reg(start, outer.down / s).x0(1 - outer.down / s);
    if (shared) rows.reg(path, scale * outer.up * std::sqrt(shared_variance));
    rows.noise(scale * outer.up * std::sqrt(1 - shared_variance));
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kAncestralEtaOption, kKarrasOption, kNoiseScaleOption, kOnePath};

}  // namespace

extern const Sampler kDpmPpSde;
const Sampler kDpmPpSde = {
    .name = "dpm++sde",
    .summary = "the reverse SDE by its midpoint, two network calls a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_sde,
};

}  // namespace ito
