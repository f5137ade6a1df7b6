// SPDX-License-Identifier: Apache-2.0
// See train_settings.h.
#include "engine/run/train_settings.h"

#include <algorithm>

#include "engine/io/option_name.h"
#include "engine/program/compute_type.h"
#include "engine/training/ema_list.h"

namespace ito {

TrainSettings train_settings(RunConfig& run) {
  run.check();
  TrainSettings s;
  s.batch = run.batch;
  s.micro_batch = run.micro_batch;
  s.checkpoints = true;
  s.seed = run.seed;
  s.capture = !run.eager;
  s.compute = compute_type_of(run.precision, option_name("precision"));
  s.learning_rate.peak = run.lr;
  s.learning_rate.schedule = learning_rate_of(run.lr_schedule, option_name("lr_schedule"));
  run.lr_schedule = s.learning_rate.schedule.text();
  s.learning_rate.warmup_steps = run.warmup;
  s.learning_rate.steps = run.steps;
  s.optimizer.beta1 = run.adam_betas[0];
  s.optimizer.beta2 = run.adam_betas[1];
  s.optimizer.weight_decay = static_cast<float>(run.weight_decay);
  s.optimizer.max_gradient_norm = static_cast<float>(run.grad_clip);
  ITO_USER_CHECK(run.ema.empty() || run.ema_decay == RunConfig().ema_decay, option_name("ema_decay"), " ",
                 run.ema_decay, ": is the one average without ", option_name("ema"), ", which is ", run.ema,
                 "; leave one of them out");
  const std::vector<NamedEma> emas = emas_of(run.ema, run.ema_decay, option_name("ema"));
  if (!run.ema.empty()) run.ema = text_of(emas);
  set_emas(s.optimizer, emas);
  ITO_USER_CHECK(run.ema_snapshots == 0 || std::ranges::any_of(emas, [](const NamedEma& e) { return e.sigma_rel > 0; }),
                 option_name("ema_snapshots"), " ", run.ema_snapshots, ": ", option_name("ema"),
                 " has no average by a power function to keep; add two, sigma-rel-0.05 and sigma-rel-0.1");
  s.flip = run.flip;
  s.class_dropout = static_cast<float>(run.class_dropout);
  return s;
}

LevelChoices resolve_levels(RunConfig& run, const SchedulerConfig& scheduler) {
  if (run.loss_weighting.empty()) run.loss_weighting = LossWeighting().text();
  const LevelChoices chosen{loss_weighting_of(run.loss_weighting, scheduler, option_name("loss_weighting")),
                            level_draw_of(run.timestep_sampling, scheduler.family, option_name("timestep_sampling"))};
  run.loss_weighting = chosen.weighting.text();
  run.timestep_sampling = chosen.draw.text();
  return chosen;
}

void check_weighting(const RunConfig& run, TrainLoss loss) {
  ITO_USER_CHECK(loss != TrainLoss::Bound || run.loss_weighting == LossWeighting().text(),
                 option_name("loss_weighting"), " ", run.loss_weighting, ": weighs the squared error, and ",
                 option_name("loss"), " bound has its own weights; leave one of them out");
}

void choose_loss(TrainSettings& settings, RunConfig& run, const SchedulerConfig& scheduler) {
  const LevelChoices levels = resolve_levels(run, scheduler);
  settings.loss = train_loss_of(run.loss, scheduler, option_name("loss"));
  run.loss = name_of(settings.loss);
  check_weighting(run, settings.loss);
  settings.weighting = levels.weighting;
  settings.level_draw = levels.draw;
}

}  // namespace ito
