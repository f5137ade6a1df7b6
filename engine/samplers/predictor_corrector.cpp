// SPDX-License-Identifier: Apache-2.0
// Predictor-corrector sampling (Song et al. 2021, algorithms 2 and 3): at every time some Langevin steps, which need no
// smaller a time, and then a step of the reverse SDE. Draws are in that order. The rules are in score_sde.h.
#include "engine/samplers/score_sde.h"

namespace ito {
namespace {

constexpr SamplerOption kPredictor = choice_option("predictor", kPredictors, "the step in time");
constexpr SamplerOption kCorrector = choice_option("corrector", kCorrectors, "the steps before it");
constexpr SamplerOption kCorrectSteps = count_option("correct_steps", 1, 0, 100, "corrector steps at each time");
constexpr SamplerOption kSnr = {"snr", 0.16, 1e-6, 10, "signal to noise of a corrector step"};

ReverseTable predictor_corrector(const SamplingProblem& p) {
  RowBuilder rows = score_sde_rows(p);
  const int corrections = static_cast<int>(p.option(kCorrectSteps.key));
  for (int i = 0; i < p.steps(); ++i) {
    for (int k = 0; k < corrections; ++k)
      correct(p, rows, i, static_cast<Corrector>(p.option(kCorrector.key)), p.option(kSnr.key));
    predict(p, rows, i, static_cast<Predictor>(p.option(kPredictor.key)));
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kPredictor, kCorrector, kCorrectSteps, kSnr, kSamplingEpsOption};
constexpr const char* kClasses[] = {"ScoreSdeVeScheduler"};

void predictor_corrector_defaults(SchedulerConfig& config) {
  config.num_train_timesteps = 2000;
  config.clip_sample = false;
  config.prediction_type = Quantity::score();
  config.sigma_min = 0.01;
  config.sigma_max = 1348;
}

}  // namespace

extern const Sampler kPredictorCorrector;
const Sampler kPredictorCorrector = {
    .name = "predictor-corrector",
    .summary = "the reverse SDE with Langevin steps at every time (Song et al. 2021)",
    .usual_steps = 1000,
    .grid = GridKind::Continuous,
    .families = kSdeFamilies,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = predictor_corrector_defaults,
    .table = predictor_corrector,
};

}  // namespace ito
