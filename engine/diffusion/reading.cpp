// SPDX-License-Identifier: Apache-2.0
// See reading.h. A preconditioned network (Karras et al. 2022, eq. 7) answers F, with y = x0 + s eps:
//   x0 = c_skip y + c_out F(c_in y),  c_skip = sd^2 / (s^2 + sd^2),  c_out = s sd / sqrt(s^2 + sd^2),
//   c_in = 1 / sqrt(s^2 + sd^2),
// so that F is a combination of x0 and eps like every other answer; v_prediction there is diffusers' word for -c_out.
#include "engine/diffusion/reading.h"

#include <cmath>
#include <string>

#include "kernels/error.h"

namespace ito {
namespace {

// The names of the quantities that determine x0 at the mixing.
std::string determining(const StateAt& at) {
  std::string names;
  for (const Quantity quantity : Quantity::all())
    if (is_determined(quantity, at)) names += (names.empty() ? "" : " or ") + std::string(quantity.name());
  return names;
}

}  // namespace

Reading Reading::of(const SchedulerConfig& config) {
  NetworkTime time = NetworkTime::Index;
  if (config.family == Family::Ve) time = NetworkTime::Sigma;
  if (config.family == Family::Edm) time = NetworkTime::LogSigmaQuarter;
  if (config.family == Family::Flow) time = NetworkTime::Flow;
  Reading reading(config.prediction_type, time, config.family);
  reading.sigma_data_ = config.sigma_data;
  // Networks of t in [0, 1] are given 999 t (Song et al. 2021) or 1000 u, which T = 1000 timesteps make the index.
  if (config.family == Family::VpSde || config.family == Family::SubVp)
    reading.time_scale_ = config.num_train_timesteps > 1 ? 999.0 / (config.num_train_timesteps - 1) : 1;
  if (config.family == Family::Flow) reading.time_scale_ = config.num_train_timesteps;
  return reading;
}

double Reading::time(const Level& level) const {
  switch (network_time_) {
    case NetworkTime::Index:
      return level.time * time_scale_;
    case NetworkTime::Sigma:
      return level.s();
    case NetworkTime::LogSigmaQuarter:
      return std::log(level.s()) / 4;
    case NetworkTime::Flow:
      return time_scale_ * level.sigma / (level.alpha + level.sigma);
  }
  return level.time;
}

Mixing Reading::state(const Level& level, Space space) const {
  const Mixing own{level.alpha, level.sigma};  // to the last bit, which s would lose
  switch (space) {
    case Space::Vp:
      return own;
    case Space::Sigma:
      return {1, level.s()};
    case Space::Flow:
      return mixing(Family::Flow, level.s());
    case Space::Native:
      break;
  }
  return family_ == Family::Vp || family_ == Family::VpSde ? own : mixing(family_, level.s());
}

double Reading::preconditioning(const Level& level) const {
  return family_ == Family::Edm ? 1 / std::hypot(level.s(), sigma_data_) : 1;
}

Combination Reading::answer(const Level& level, Mixing native) const {
  if (family_ != Family::Edm) return predicted_.combination({native.alpha, native.sigma, level.previous});
  const double s = level.s(), square = s * s + sigma_data_ * sigma_data_;
  const double skip = sigma_data_ * sigma_data_ / square;
  const double out = (predicted_ == Quantity::epsilon() ? 1 : -1) * s * sigma_data_ / std::sqrt(square);
  return {(1 - skip) / out, -skip * s / out};
}

CallAt Reading::call(const Level& level, Space space) const {
  ITO_CHECK(level.sigma > 0, "sampling: the network is called at timestep ", level.time, ", where there is no noise");
  const Mixing native = state(level, Space::Native), own = state(level, space);
  const StateAt at{native.alpha, native.sigma, level.previous};
  const Combination given = answer(level, native);
  ITO_USER_CHECK(is_determined(given, at), "sampling: timestep ", level.time,
                 " is pure noise (rescale_betas_zero_snr), where prediction_type ", predicted_.name(),
                 " determines no image; use timestep_spacing leading, or a model with prediction_type ",
                 determining(at));
  // What takes the solver's state to the network's.
  const double scale = own.alpha > 0 ? native.alpha / own.alpha : native.sigma / own.sigma;
  const auto of = [&](Combination from, Combination wanted) {
    const Conversion c = conversion(from, wanted, at);
    return Conversion{c.from_x * scale, c.from_given};
  };
  constexpr Combination kX0{1, 0}, kEps{0, 1};
  const bool says_x0 = given.x0 == 1 && given.eps == 0, says_eps = given.x0 == 0 && given.eps == 1;
  return {.time = time(level),
          .input_scale = scale * preconditioning(level),
          .x0 = says_x0 ? Conversion{0, 1} : of(given, kX0),
          .eps = says_eps ? Conversion{0, 1} : of(given, kEps),
          .eps_from_x0 = of(kX0, kEps)};
}

Target Reading::target(const Level& level) const {
  const Mixing native = state(level, Space::Native);
  const double in = preconditioning(level);
  Target target{.input_x0 = in * native.alpha, .input_eps = in * native.sigma};
  target.answer = answer(level, native);
  if (predicted_ == Quantity::mean()) {
    // x_{t-1} itself, whose mean given x_t the network then learns: drawn with eps2 and carried on to x_t by eps.
    const double kept = level.abar / level.previous;
    target.x0 = std::sqrt(level.previous);
    target.eps2 = std::sqrt(1 - level.previous);
    target.input_eps = std::sqrt(1 - kept);
    target.input_eps2 = std::sqrt(kept) * target.eps2;
    return target;
  }
  target.x0 = target.answer.x0;
  target.eps = target.answer.eps;
  if (family_ != Family::Edm) target.weight = predicted_.loss_weight({native.alpha, native.sigma, level.previous});
  return target;
}

}  // namespace ito
