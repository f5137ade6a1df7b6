// SPDX-License-Identifier: Apache-2.0
// From a model and what a user chooses to what a reverse process runs: the sampler, its table or its own steps, and the
// measured levels that its reverse option may ask for.
#pragma once
#include <optional>
#include <string>

#include "engine/diffusion/level_statistics.h"
#include "engine/samplers/sampler.h"
#include "models/model_on_device.h"

namespace ito {

struct SamplingPlan {
  const Sampler* sampler = nullptr;
  ReverseTable table;                    // of a sampler whose steps are known,
  std::optional<AdaptivePlan> adaptive;  // or else this
  LevelStatistics statistics;            // that were asked for
};

// name: of a sampler; "": the one of the model's scheduler.
const Sampler& sampler_of(const ModelOnDevice& model, const std::string& name);

// The model's statistics are read where it is asked for and the model has any. UserError for what the model, the
// sampler or its options cannot do, also where the network cannot be asked at the table's timesteps.
SamplingPlan sampling_plan(const ModelOnDevice& model, const NoiseSchedule& schedule, const Sampler& sampler,
                           SamplingSettings settings);

}  // namespace ito
