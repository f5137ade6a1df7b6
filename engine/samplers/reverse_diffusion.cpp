// SPDX-License-Identifier: Apache-2.0
// The reverse of the process on N levels (Song et al. 2021, appendix E), or its ancestral form (appendix F), or with
// flow its probability flow. The rules are in score_sde.h.
#include "engine/samplers/score_sde.h"

namespace ito {
namespace {

constexpr SamplerOption kFlow = flag_option("flow", false, "the probability flow: half the score, no noise");
constexpr SamplerOption kAncestral = flag_option("ancestral", false, "the step of ancestral sampling");

ReverseTable reverse_diffusion(const SamplingProblem& p) {
  RowBuilder rows = score_sde_rows(p);
  const Predictor rule = p.flag(kAncestral.key) ? Predictor::Ancestral : Predictor::ReverseDiffusion;
  for (int i = 0; i < p.steps(); ++i) predict(p, rows, i, rule, p.flag(kFlow.key));
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kAncestral, kFlow, kSamplingEpsOption};
constexpr const char* kClasses[] = {"ScoreSdeVpScheduler"};

void reverse_diffusion_defaults(SchedulerConfig& config) {
  config.num_train_timesteps = 2000;
  config.clip_sample = false;
}

}  // namespace

extern const Sampler kReverseDiffusion;
const Sampler kReverseDiffusion = {
    .name = "reverse-diffusion",
    .summary = "the forward process's own levels in reverse (Song et al. 2021)",
    .usual_steps = 1000,
    .grid = GridKind::Continuous,
    .families = kSdeFamilies,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = reverse_diffusion_defaults,
    .table = reverse_diffusion,
};

}  // namespace ito
