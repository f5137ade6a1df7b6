// SPDX-License-Identifier: Apache-2.0
// Where a state stands between data and noise: x = alpha x0 + sigma eps. Samplers walk from level to level and need not
// know how a schedule was given. Whatever the family of the model (family.h), a level's alpha and sigma are those of
// the variance-preserving state, alpha^2 + sigma^2 = 1; a network's own state at the same s is a factor away
// (reading.h). Between the tabled timesteps any real time or noise-to-signal ratio has its own level.
#pragma once
#include <optional>
#include <vector>

#include "engine/diffusion/schedule.h"

namespace ito {

struct Level {
  double time;          // 0..T-1, what a network of discrete timesteps is given; -1: clean data
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

  Family family() const { return family_; }

  // A whole time has the schedule's own abar, exactly. Between two timesteps of a table s is interpolated linearly (as
  // Euler, Heun and LMS do in diffusers); a process in closed form has its own. time: -1 (clean) or 0..T-1.
  Level at(double time) const;
  // The level with this s >= 0, which keeps s exactly. Its time is interpolated linearly in ln s between the timesteps'
  // of a table, or a process's own, and clamped to 0..T-1: a solver that rounds times does so afterwards.
  Level of_s(double s) const;
  // beta(t) of dx = -1/2 beta x dt + sqrt(beta) dw, t running from 0 to 1 over the timesteps: T beta_t, between two
  // timesteps linearly, or the process's own. Error for a family that has none (ve, edm, flow).
  double rate(double time) const;
  // d ln(s^2) / dt of a geometric process (ve, edm): g^2 = s^2 times it.
  double growth() const;

 private:
  double process_time(double time) const;  // of the closed form

  Family family_;
  std::optional<Process> process_;
  std::vector<double> abars_, s_, rates_;  // index = timestep
};

}  // namespace ito
