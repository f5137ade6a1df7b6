// SPDX-License-Identifier: Apache-2.0
// See reading.h.
#include "engine/diffusion/reading.h"

#include <cmath>
#include <string>

#include "kernels/error.h"

namespace ito {
namespace {

// The names of the quantities that determine x0 at the level.
std::string determining(const Level& level) {
  std::string names;
  for (const Quantity quantity : Quantity::all())
    if (is_determined(quantity, level.alpha, level.sigma))
      names += (names.empty() ? "" : " or ") + std::string(quantity.name());
  return names;
}

}  // namespace

double Reading::time(const Level& level) const {
  switch (network_time_) {
    case NetworkTime::Index:
      return level.time;
    case NetworkTime::Sigma:
      return level.s();
    case NetworkTime::LogSigmaQuarter:
      return std::log(level.s()) / 4;
  }
  return level.time;
}

CallAt Reading::call(const Level& level, Space space) const {
  const double alpha = level.alpha, sigma = level.sigma;
  ITO_CHECK(sigma > 0, "sampling: the network is called at timestep ", level.time, ", where there is no noise");
  ITO_USER_CHECK(is_determined(predicted_, alpha, sigma), "sampling: timestep ", level.time,
                 " is pure noise (rescale_betas_zero_snr), where prediction_type ", predicted_.name(),
                 " determines no image; use timestep_spacing leading, or a model with prediction_type ",
                 determining(level));
  // y = x / alpha, and alpha = 1 / sqrt(1 + s^2) is what takes it back to the network's input.
  const double scale = space == Space::Vp ? 1 : alpha;
  const auto of = [&](Quantity given, Quantity wanted) {
    const Conversion c = conversion(given, wanted, alpha, sigma);
    return Conversion{c.from_x * scale, c.from_given};
  };
  return {.time = time(level),
          .input_scale = scale,
          .x0 = of(predicted_, Quantity::x0()),
          .eps = of(predicted_, Quantity::epsilon()),
          .eps_from_x0 = of(Quantity::x0(), Quantity::epsilon())};
}

Target Reading::target(const Level& level) const {
  const Combination c = predicted_.combination(level.alpha, level.sigma);
  return {.x0 = c.x0, .eps = c.eps, .weight = predicted_.loss_weight(level.alpha, level.sigma)};
}

}  // namespace ito
