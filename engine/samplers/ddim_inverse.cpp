// SPDX-License-Identifier: Apache-2.0
// DDIM backwards, from an image to the noise that DDIM makes it from (Song, Meng and Ermon 2021, section 4.3), as
// diffusers has it: timesteps ascend, the step to timestep t begins at c = t - floor(T / n), and the network is told t:
//   x' = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps, both read off its answer at the level of c.
// Below the first timestep c is clean data, or abar_0 without set_alpha_to_one. There the state is the image itself,
// and an answer from which eps does not follow without noise (a network that predicts x0, or the score) is read at the
// level it was asked at.
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

// Clean data as a level: noise too small for a float beside the image.
constexpr Level kClean = {.time = -1, .alpha = 1, .sigma = 1e-20, .abar = 1};

// Whether the answer at clean data is eps, but for its size and what the image adds.
bool tells_eps_at_clean_data(const Reading& reading) {
  if (reading.predicted() == Quantity::mean()) return false;  // no state comes before clean data
  const double share = std::fabs(reading.call(kClean).eps.from_given);
  return share > 1e-6 && share < 1e6;
}

ReverseTable ddim_inverse(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const int stride = p.levels.steps() / p.steps();
  for (int i = p.steps() - 1; i >= 0; --i) {
    const Level& to = p.node(i);
    const double current = to.time - stride;
    if (current >= 0 || !p.config.set_alpha_to_one)
      rows.call(p.levels.at(std::fmax(current, 0)), to).state().x0(to.alpha).eps(to.sigma);
    else if (tells_eps_at_clean_data(p.reading))
      rows.call(kClean, to).state().x0(to.alpha).eps(to.sigma);
    else
      rows.call(to).state().x(to.alpha).eps(to.sigma);
  }
  return rows.table();
}

constexpr const char* kClasses[] = {"DDIMInverseScheduler"};

}  // namespace

extern const Sampler kDdimInverse;
const Sampler kDdimInverse = {
    .name = "ddim-inverse",
    .summary = "ddim backwards: from images to the noise that makes them (Song, Meng and Ermon 2021)",
    .usual_steps = 50,
    .grid = GridKind::Whole,
    .clips = true,
    .divides_alpha = false,
    .options = {},
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = nullptr,
    .table = ddim_inverse,
};

}  // namespace ito
