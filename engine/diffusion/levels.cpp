// SPDX-License-Identifier: Apache-2.0
// Levels of a schedule's table, and between its entries.
#include "engine/diffusion/levels.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

Level of_abar(double time, double abar) {
  return {.time = time, .alpha = std::sqrt(abar), .sigma = std::sqrt(1 - abar), .abar = abar};
}

Level of_ratio(double time, double s) {
  if (std::isinf(s)) return of_abar(time, 0);
  const double abar = 1 / (1 + s * s), alpha = std::sqrt(abar);
  return {.time = time, .alpha = alpha, .sigma = s * alpha, .abar = abar};
}

}  // namespace

double Level::lambda() const {
  return std::log(alpha / sigma);
}

Levels::Levels(const NoiseSchedule& schedule, double terminal_abar)
    : family_(schedule.config().family), process_(schedule.process()) {
  for (int timestep = 0; timestep < schedule.steps(); ++timestep) {
    const double abar = schedule.abar(Step::from_timestep(timestep));
    abars_.push_back(abar == 0 ? terminal_abar : abar);
    s_.push_back(std::sqrt((1 - abars_.back()) / abars_.back()));
    if (family_ == Family::Vp) rates_.push_back(schedule.steps() * schedule.beta(Step::from_timestep(timestep)));
  }
}

double Levels::process_time(double time) const {
  if (family_ == Family::Flow) return (time + 1) / steps();
  return steps() == 1 ? 1 : time / (steps() - 1);
}

double Levels::rate(double time) const {
  if (process_) return process_->rate(process_time(time));
  ITO_CHECK(time >= 0 && time <= steps() - 1, "levels: the rate at time ", time, "; expected 0 to ", steps() - 1);
  const auto below = static_cast<size_t>(time);
  const double part = time - static_cast<double>(below);
  return part == 0 ? rates_[below] : rates_[below] + part * (rates_[below + 1] - rates_[below]);
}

double Levels::growth() const {
  ITO_CHECK(family_ == Family::Ve || family_ == Family::Edm, "levels: ", name_of(family_), " has no geometric process");
  return 2 * std::log(process_->sigma_max / process_->sigma_min);
}

Level Levels::at(double time) const {
  if (time == -1) return of_abar(-1, 1);
  ITO_CHECK(time >= 0 && time <= steps() - 1, "levels: time ", time, "; expected -1 or 0 to ", steps() - 1);
  const auto below = static_cast<size_t>(time);
  const double part = time - static_cast<double>(below);
  if (part == 0) return of_abar(time, abars_[below]);
  if (process_) return of_ratio(time, process_->s(process_time(time)));
  return of_ratio(time, s_[below] + part * (s_[below + 1] - s_[below]));
}

Level Levels::of_s(double s) const {
  ITO_CHECK(s >= 0, "levels: noise to signal ", s, "; expected 0 or more");
  if (process_) {
    const double t = s == 0 ? 0 : process_->t(s);
    const double time = family_ == Family::Flow ? t * steps() - 1 : t * (steps() - 1);
    return of_ratio(std::clamp(time, 0.0, steps() - 1.0), s);
  }
  // From the last timestep down, for terminal_abar's sake.
  int below = steps() - 1;
  while (below >= 0 && s_[below] > s) --below;
  if (below < 0) return of_ratio(0, s);
  if (below == steps() - 1) return of_ratio(below, s);
  const double low = std::log(s_[below]), high = std::log(s_[below + 1]);
  return of_ratio(below + (std::log(s) - low) / (high - low), s);
}

}  // namespace ito
