// SPDX-License-Identifier: Apache-2.0
// A sampler's rows on levels that no schedule gave, and how far a run on such levels ends from where the flow of normal
// data goes, which is known.
#pragma once
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler_options.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {

// config outlives the problem.
inline SamplingProblem problem_on(const std::vector<Level>& nodes, const Sampler& sampler,
                                  const std::vector<std::string>& set, const Reading& reading,
                                  const SchedulerConfig& config) {
  return {.sampler = sampler,
          .config = config,
          .levels = Levels(NoiseSchedule(config)),
          .reading = reading,
          .nodes = nodes,
          .clip = {},
          .spacing = config.timestep_spacing,
          .values = option_values(sampler, config, set)};
}

inline SamplingProblem problem_on(const std::vector<Level>& nodes, const char* name,
                                  const std::vector<std::string>& set, const Reading& reading,
                                  const SchedulerConfig& config) {
  return problem_on(nodes, sampler_named(name), set, reading, config);
}

inline Level level_of_ratio(double s) {
  const double abar = 1 / (1 + s * s);
  return {.time = 0, .alpha = std::sqrt(abar), .sigma = s * std::sqrt(abar), .abar = abar};
}

// Data N(0, 0.3): the best eps network at noise to signal s, of x = (x0 + s eps) / sqrt(1 + s^2), told ln(s) / 4.
inline constexpr double kDataVariance = 0.3;
inline double normal_eps(double x, double t) {
  const double s = std::exp(4 * t);
  return s * std::sqrt(1 + s * s) * x / (kDataVariance + s * s);
}
inline Reading normal_reading() {
  return Reading(Quantity::epsilon(), NetworkTime::LogSigmaQuarter);
}
// The error of the run from y = 1 at the first node to the last, relative to where the flow ends.
inline double error_of(const ReverseTable& table, const std::vector<Level>& nodes) {
  const bool of_y = table.rows[0].alpha == 1;  // sigma space
  const Level &from = nodes.front(), &to = nodes.back();
  ref::RowRun run{.x = {of_y ? 1 : from.alpha}, .registers = {}};
  run.registers.assign(table.registers, {0.0});
  ref::run_rows(table.rows, table.first_input_scale, run, normal_eps, [](size_t, int) { return 0.0; });
  const double exact = std::sqrt((kDataVariance + to.s() * to.s()) / (kDataVariance + from.s() * from.s()));
  return std::fabs(run.x[0] / (of_y ? 1 : to.alpha) / exact - 1);
}
// log2 of what twice the steps make of the error.
inline double measured_order(double coarse, double fine) {
  return std::log2(coarse / fine);
}

}  // namespace ito::test
