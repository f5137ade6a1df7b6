// SPDX-License-Identifier: Apache-2.0
// Annealed Langevin dynamics (Song and Ermon 2019, algorithm 1), in y = x / alpha: at each of n ratios s_1 > .. > s_n,
// geometric from the model's largest to its smallest, `inner_steps` times
//   y' = y + e_i score + sqrt(2 e_i) z,  e_i = step_size (s_i / s_n)^2,  score = -eps / s_i,
// and at the end the denoising step y + s_n^2 score of Jolicoeur-Martineau et al. 2021, without which the last level's
// noise would stay in the picture. No step has a mean that the process defines: what comes out is right only as
// step_size falls and inner_steps grow. What a level leaves of the one before shows in the variance: some 7 % with 10
// levels from s 50 to 0.01, 3 % with 20.
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr SamplerOption kInnerSteps = count_option("inner_steps", 100, 1, 10000, "Langevin steps at each level");
constexpr SamplerOption kStepSize = {"step_size", 2e-5, 1e-12, 1, "of the last level; grows with s squared"};
constexpr SamplerOption kDenoise = flag_option("denoise", true, "one step to the clean estimate at the end");

ReverseTable langevin(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.node(0).s());
  const double last = p.node(p.steps() - 1).s();
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s(), step = p.option(kStepSize.key) * (s / last) * (s / last);
    for (int k = 0; k < static_cast<int>(p.option(kInnerSteps.key)); ++k)
      rows.call(p.node(i)).state().x(1).eps(-step / s).noise(std::sqrt(2 * step));
  }
  if (p.flag(kDenoise.key)) rows.call(p.node(p.steps() - 1)).state().x(1).eps(-last);
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kInnerSteps, kStepSize, kDenoise};

}  // namespace

extern const Sampler kLangevin;
const Sampler kLangevin = {
    .name = "langevin",
    .summary = "annealed Langevin dynamics (Song and Ermon 2019); steps are noise levels",
    .usual_steps = 20,
    .grid = GridKind::Geometric,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = langevin,
};

}  // namespace ito
