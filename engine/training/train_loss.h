// SPDX-License-Identifier: Apache-2.0
// What a training step minimises, of the network's squared error and the variational bound.
#pragma once
#include <string>
#include <string_view>

#include "engine/diffusion/scheduler_config.h"

namespace ito {

// Squared: the weighted squared error of what the network predicts (Ho et al. 2020, eq. 14).
// Hybrid: that, and 0.001 of the bound, which teaches the variance alone: its gradient by the mean is left out (Nichol
//   and Dhariwal 2021, eq. 16).
// Bound: the bound itself, in bits a number and times T, so that the mean over timesteps estimates it but for L_T.
enum class TrainLoss : uint8_t { Squared, Hybrid, Bound };

std::string_view name_of(TrainLoss loss);
std::string train_loss_names();  // "squared, hybrid, bound"
// "": hybrid where the variance is learned, else squared. `where` (a flag) begins the UserError for a word that is not
// known, or a loss that cannot be had: a learned variance needs the bound, a fixed one has no use for the hybrid, and a
// reverse option whose variance is measured has no bound to train with.
TrainLoss train_loss_of(std::string_view name, const SchedulerConfig& config, const std::string& where);

// Times a term of the bound, nats a number: 0 for Squared.
double bound_factor(TrainLoss loss, int timesteps);

}  // namespace ito
