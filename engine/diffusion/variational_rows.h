// SPDX-License-Identifier: Apache-2.0
// The table of the variational bound: how a network's answer at each timestep becomes a term of it, for a reverse
// option (options/option.h). The kernel that takes the terms (kernels/diffusion/variational.h) knows neither.
//   -ln p(x0) <= L_T + sum L_{t-1} + L_0                    (Ho et al. 2020, eq. 5)
#pragma once
#include <string>
#include <vector>

#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/options/option.h"
#include "kernels/diffusion/variational_row.h"

namespace ito {

struct BoundProblem {
  const Levels& levels;
  const SchedulerConfig& config;
  const ReverseOption& reverse;
  const LevelStatistics* statistics = nullptr;  // null: none are there
  BoundTerm last = BoundTerm::Bytes;            // what L_0 is
  bool clip = false;                            // the estimate of x0, as the scheduler's configuration says
};

// A row for every timestep 0..T-1; the first is L_0. At it q is a point, which gives a variance no scale: an option
// that has none of its own there gets the posterior's of the next timestep, as published code does (which replaces
// fixed_large there, too; here it keeps its beta).
// UserError for a family without a chain of timesteps, and what the option asks and is not there.
std::vector<VariationalRow> variational_rows(const BoundProblem& problem);

// L_T = KL(q(x_T | x0) || N(0, I)), nats, the mean over the `size` numbers of x0.
double prior_term(const Levels& levels, const float* x0, int64_t size);

}  // namespace ito
