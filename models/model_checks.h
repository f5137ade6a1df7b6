// SPDX-License-Identifier: Apache-2.0
// What the reverse process asks of a model, whoever runs it, and what tells models apart.
#pragma once
#include <string>

#include "engine/diffusion/schedule.h"
#include "engine/samplers/row_builder.h"
#include "models/model_on_device.h"

namespace ito {

// Outputs and timesteps that fit the scheduler; UserError.
void check_model(const ModelOnDevice& model, const NoiseSchedule& schedule);

// A network that embeds log t has no value at timestep 0, and one with a table of timesteps none between two of them.
// UserError that ends in what to do.
void check_timesteps(const ModelOnDevice& model, const ReverseTable& table, const char* do_at_zero,
                     const char* do_between);

// Of its weights, its configuration and its scheduler, as a text.
std::string fingerprint_of(const ModelOnDevice& model);

}  // namespace ito
