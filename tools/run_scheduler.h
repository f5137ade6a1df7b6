// SPDX-License-Identifier: Apache-2.0
// What --scheduler means, and the noise schedule and the prediction type of a training run: --scheduler,
// --prediction-type and --beta-schedule as one configuration.
#pragma once
#include "engine/diffusion/scheduler_config.h"
#include "engine/run/run_config.h"
#include "models/model.h"

namespace ito {

// The file of --scheduler PATH: PATH itself, or that of a scheduler's folder, a model, a checkpoint or a run. UserError
// where there is none.
std::string scheduler_file(const std::string& path);

// The configuration that a run trains with and writes into its checkpoints: that of --scheduler, or of the file
// `otherwise`, or where that is "" the model's usual one, or where --family asks for another that family's, with what
// --prediction-type and --beta-schedule replace in it. Both are then filled into `run`, so that its config.json says
// what they came to; a family without a table of betas has no beta schedule. UserError for a file that cannot be
// trained with.
SchedulerConfig resolve_scheduler(RunConfig& run, const std::string& otherwise, const SchedulerConfig& usual = {});

// Fills in how the model is published to be trained, where the run says nothing and trains on the same path and
// teaches the same.
void take_usual_training(RunConfig& run, const Model& model, const SchedulerConfig& scheduler,
                         bool class_dropout_given);

}  // namespace ito
