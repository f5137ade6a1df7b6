// SPDX-License-Identifier: Apache-2.0
// A diffusion step. Files, flags, logs and networks count timesteps 0..T-1; the mathematics counts t = 1..T, with t = 0
// for clean data (abar_0 = 1). This type is the only place where the two are one apart.
#pragma once
#include <compare>

namespace ito {

class Step {
 public:
  // timestep: 0..T-1; -1 is clean data.
  static constexpr Step from_timestep(int timestep) { return Step(timestep + 1); }
  // t: 1..T; 0 is clean data.
  static constexpr Step from_t(int t) { return Step(t); }
  static constexpr Step clean() { return Step(0); }

  constexpr int t() const { return t_; }
  constexpr int timestep() const { return t_ - 1; }
  constexpr Step previous() const { return Step(t_ - 1); }
  constexpr auto operator<=>(const Step&) const = default;

 private:
  explicit constexpr Step(int t) : t_(t) {}
  int t_;
};

}  // namespace ito
