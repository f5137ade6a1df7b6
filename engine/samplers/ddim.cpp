// SPDX-License-Identifier: Apache-2.0
// DDIM (Song, Meng and Ermon 2021, eq. 12 and 16):
//   x' = sqrt(abar_p) x0 + sqrt(1 - abar_p - sigma^2) eps + sigma z,
//   sigma = eta sqrt((1 - abar_p) / (1 - abar_t) (1 - abar_t / abar_p)).
// As in diffusers, p = t - floor(T / n), which is not the next timestep of the grid where T / n is not whole (linspace,
// trailing), and eps stays the network's own when x0 is clipped, unless use_clipped_model_output.
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

// Above 1 the variance left for eps would be negative on the full grid.
constexpr SamplerOption kEta = {"eta", 0, 0, 1, "0 is deterministic, 1 as noisy as ddpm"};
constexpr SamplerOption kClippedOutput =
    flag_option("use_clipped_model_output", false, "eps follows from the clipped x0");

ReverseTable ddim(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const Level final_level = p.levels.at(p.config.set_alpha_to_one ? -1 : 0);
  const int stride = p.levels.steps() / p.steps();
  for (int i = 0; i < p.steps(); ++i) {
    const Level& from = p.node(i);
    const double previous = from.time - stride;
    const Level to = previous >= 0 ? p.levels.at(previous) : final_level;
    const double sigma = p.option(kEta.key) * std::sqrt(gaussian_posterior(from.abar, to.abar).variance);
    rows.call(from);
    if (p.flag(kClippedOutput.key)) rows.eps_from_clipped_x0();
    rows.state().x0(to.alpha).eps(std::sqrt(std::max(1 - to.abar - sigma * sigma, 0.0)));
    if (p.config.variance_type == VarianceType::LearnedRange && sigma > 0) {
      // DDIM's own sigma, as a range of no width: the bits that a model with a learned variance has always had here.
      rows.learned_variance(2 * std::log(sigma), 2 * std::log(sigma)).noise(1);
    } else {
      rows.noise(sigma);
    }
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kEta, kClippedOutput};
constexpr const char* kClasses[] = {"DDIMScheduler"};

}  // namespace

extern const Sampler kDdim;
const Sampler kDdim = {
    .name = "ddim",
    .summary = "deterministic, or with noise between steps (Song, Meng and Ermon 2021)",
    .usual_steps = 50,
    .grid = GridKind::Whole,
    .clips = true,
    .thresholds = true,
    .divides_alpha = false,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = nullptr,
    .table = ddim,
};

}  // namespace ito
