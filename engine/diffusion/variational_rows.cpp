// SPDX-License-Identifier: Apache-2.0
// See variational_rows.h.
#include "engine/diffusion/variational_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr double kNoVariance = 1.5e-20;  // what options put in the place of 0

}  // namespace

std::vector<VariationalRow> variational_rows(const BoundProblem& p) {
  ITO_USER_CHECK(p.config.family == Family::Vp, "the variational bound: a ", name_of(p.config.family),
                 " model has no chain of timesteps; it is for models of tabled betas");
  const Reading reading = Reading::of(p.config);
  const std::string who = std::string("reverse option ") + p.reverse.name;
  const double first_abar = p.levels.at(0).abar, second_abar = p.levels.at(std::min(1, p.levels.steps() - 1)).abar;
  const Posterior first =
      gaussian_posterior(p.levels.steps() > 1 ? second_abar : first_abar, p.levels.steps() > 1 ? first_abar : 1);
  const double stand_in = std::log(first.variance > 0 ? first.variance : first.beta);
  std::vector<VariationalRow> rows;
  for (int timestep = 0; timestep < p.levels.steps(); ++timestep) {
    const Level from = p.levels.at(timestep), to = p.levels.at(timestep - 1);
    const Posterior q = gaussian_posterior(from.abar, to.abar);
    const CallAt call = reading.call(from, Space::Native);
    const Transition step = p.reverse.transition({.config = p.config,
                                                  .reading = reading,
                                                  .statistics = p.statistics,
                                                  .from = from,
                                                  .to = to,
                                                  .least_squares_mix = false,
                                                  .who = who});
    VariationalRow row{.x0_from_x = call.x0.from_x,
                       .x0_from_pred = call.x0.from_given,
                       .clip = p.clip && p.config.clip_sample ? p.config.clip_sample_range : 0,
                       .from_d = -step.x0,
                       .from_pred = -step.pred};
    if (timestep == 0) {
      row.term = p.last;
      row.from_x0 = 1;
      row.from_x = -step.x;
    } else {
      row.from_x0 = q.from_x0;
      row.from_x = q.from_x - step.x;
      row.true_log_variance = std::log(q.variance);
    }
    if (step.learned) {
      row.log_variance = timestep == 0 ? stand_in : step.log_variance_low;
      row.span = step.log_variance_high - row.log_variance;
    } else {
      const double variance = step.std * step.std;
      row.log_variance = variance > kNoVariance ? std::log(variance) : stand_in;
    }
    rows.push_back(row);
  }
  return rows;
}

double prior_term(const Levels& levels, const float* x0, int64_t size) {
  const double abar = levels.at(levels.steps() - 1).abar;
  double square = 0;
  for (int64_t i = 0; i < size; ++i) square += static_cast<double>(x0[i]) * static_cast<double>(x0[i]);
  return (abar * (square / static_cast<double>(size)) - abar - std::log1p(-abar)) / 2;
}

}  // namespace ito
