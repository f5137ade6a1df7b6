// SPDX-License-Identifier: Apache-2.0
// Ancestral sampling (Ho et al. 2020, algorithm 2, in the form of eq. 7 so that x0 can be clipped). A step goes from t
// to the next timestep of the grid by the model's reverse option (engine/diffusion/options), whose usual one has the
// posterior's mean and noise of the posterior's variance (fixed_small), the forward step's (fixed_large), or one
// between them on a log scale that the network chooses (learned_range; Nichol and Dhariwal 2021, eq. 15).
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr const char* kMixes[] = {"levels", "least-squares"};
constexpr SamplerOption kMix =
    choice_option("mix", kMixes, "A_t of the reverse option x0-mix: of the noise levels, or as measured");

ReverseTable ddpm(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const std::string who = std::string("reverse option ") + p.reverse->name;
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    const Transition step = p.reverse->transition({.config = p.config,
                                                   .reading = p.reading,
                                                   .statistics = p.statistics,
                                                   .from = from,
                                                   .to = to,
                                                   .least_squares_mix = p.flag(kMix.key),
                                                   .who = who});
    rows.call(from).state().x(step.x).x0(step.x0);
    if (step.pred != 0) rows.pred(step.pred);
    if (from.time == 0) {
      rows.skip_draw();
    } else if (step.learned) {
      rows.learned_variance(step.log_variance_high, step.log_variance_low).noise(1);
    } else {
      rows.noise(step.std);
    }
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kMix};
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
    .reverse_options = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = nullptr,
    .table = ddpm,
};

}  // namespace ito
