// SPDX-License-Identifier: Apache-2.0
// Ancestral sampling (Ho et al. 2020, algorithm 2, in the form of eq. 7 so that x0 can be clipped). A step goes from t
// to the next timestep of the grid; the noise has the posterior's variance (fixed_small), the forward step's
// (fixed_large), or one between them on a log scale that the network chooses (learned_range; Nichol and Dhariwal 2021,
// eq. 15).
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

ReverseTable ddpm(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    const Posterior q = gaussian_posterior(from.abar, to.abar);
    rows.call(from).state().x(q.from_x).x0(q.from_x0);
    if (from.time == 0) {
      rows.skip_draw();
      continue;
    }
    // The floor keeps the logarithm finite where the posterior is a point (a last step from a timestep above 0).
    const double small = std::max(q.variance, 1e-20);
    switch (p.config.variance_type) {
      case VarianceType::FixedSmall:
      case VarianceType::FixedSmallLog:
        rows.noise(std::sqrt(small));
        break;
      case VarianceType::FixedLarge:
      case VarianceType::FixedLargeLog:
        rows.noise(std::sqrt(q.beta));
        break;
      case VarianceType::LearnedRange:
        rows.learned_variance(std::log(q.beta), std::log(small)).noise(1);
        break;
    }
  }
  return rows.table();
}

constexpr const char* kClasses[] = {"DDPMScheduler"};

}  // namespace

extern const Sampler kDdpm;
const Sampler kDdpm = {
    .name = "ddpm",
    .summary = "ancestral sampling (Ho et al. 2020)",
    .usual_steps = 0,
    .grid = GridKind::Whole,
    .clips = true,
    .thresholds = true,
    .divides_alpha = false,
    .options = {},
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = nullptr,
    .table = ddpm,
};

}  // namespace ito
