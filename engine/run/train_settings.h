// SPDX-License-Identifier: Apache-2.0
// From the options of a training run to what a trainer is given. Messages name options as the program spells them
// (engine/io/option_name.h).
#pragma once
#include "engine/run/run_config.h"
#include "engine/training/trainer.h"

namespace ito {

// Of the run alone, which then says in full what its words came to; what depends on its noise schedule and its data is
// added afterwards. UserError for a value out of range.
TrainSettings train_settings(RunConfig& run);

// The weighting and the draw of levels for a model of this noise schedule; `run` then says in full what they came to.
struct LevelChoices {
  LossWeighting weighting;
  LevelDrawChoice draw;
};
LevelChoices resolve_levels(RunConfig& run, const SchedulerConfig& scheduler);

// A loss in which the squared error has no part has no use for its weights; UserError.
void check_weighting(const RunConfig& run, TrainLoss loss);

// What the noise schedule decides: both choices of levels, and the loss, which is said in full likewise.
void choose_loss(TrainSettings& settings, RunConfig& run, const SchedulerConfig& scheduler);

}  // namespace ito
