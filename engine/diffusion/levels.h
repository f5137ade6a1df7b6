// SPDX-License-Identifier: Apache-2.0
// Where a state stands between data and noise: x = alpha x0 + sigma eps. Samplers walk from level to level and need not
// know how a schedule was given. Levels are those of the variance-preserving family, alpha^2 + sigma^2 = 1, between
// whose tabled timesteps any real time or noise-to-signal ratio has its own.
#pragma once
#include <vector>

#include "engine/diffusion/schedule.h"

namespace ito {

struct Level {
  double time;          // what a network of discrete timesteps is given, 0..T-1; -1: clean data
  double alpha, sigma;  // of x0 and of eps
  double abar;          // alpha^2 to the last bit, which a root would lose: differences of abar make the posterior

  double s() const { return sigma / alpha; }  // noise to signal; infinite at alpha 0
  double lambda() const;                      // ln(alpha / sigma)
};

inline constexpr double kTerminalAbar = 0x1p-24;  // s = 4096

class Levels {
 public:
  // terminal_abar takes the place of the 0 that rescale_betas_zero_snr leaves at the last timestep: solvers that divide
  // by alpha have diffusers' kTerminalAbar there. The timestep before may then be the noisier one, as in diffusers.
  explicit Levels(const NoiseSchedule& schedule, double terminal_abar = 0);

  int steps() const { return static_cast<int>(abars_.size()); }  // T

  // A whole time has the schedule's own abar, exactly. Between two timesteps s is interpolated linearly (as Euler, Heun
  // and LMS do in diffusers). time: -1 (clean) or 0..T-1.
  Level at(double time) const;
  // The level with this s >= 0, which keeps s exactly. Its time is interpolated linearly in ln s between the timesteps'
  // and clamped to 0..T-1: a solver that rounds times does so afterwards.
  Level of_s(double s) const;

 private:
  std::vector<double> abars_, s_;  // index = timestep
};

}  // namespace ito
