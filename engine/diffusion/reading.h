// SPDX-License-Identifier: Apache-2.0
// The convention between a network and a level, in both directions: what it is given and how its answer is read when
// sampling, and what it is taught in training.
#pragma once
#include <cstdint>

#include "engine/diffusion/family.h"
#include "engine/diffusion/levels.h"
#include "engine/diffusion/quantity.h"

namespace ito {

// The number that tells a network its level.
enum class NetworkTime : uint8_t {
  Index,            // the timestep 0..T-1, or between two of them; times time_scale
  Sigma,            // s = sigma / alpha
  LogSigmaQuarter,  // ln(s) / 4 (Karras et al. 2022)
  Flow,             // u = s / (1 + s), times time_scale
};

// The variables a solver works in: the state's mixing of x0 and eps. The network's own is that of its family.
enum class Space : uint8_t {
  Vp,      // x = alpha x0 + sigma eps, alpha^2 + sigma^2 = 1
  Sigma,   // y = x0 + s eps
  Flow,    // (1 - u) x0 + u eps
  Native,  // the network's
};

// A network call at a level, for a state x of the solver's space.
struct CallAt {
  double time;             // of the network
  double input_scale;      // times x: the network's input
  Conversion x0, eps;      // from x and the answer
  Conversion eps_from_x0;  // from x and an estimate of x0 (a clipped one, say)
};

// What the network is taught at a level: x0 * x0 + eps * eps + eps2 * eps2, the weight of its squared error, and the
// input for it, a combination of the same three. eps2 is 0 but for the reverse mean, which is learned from x_{t-1}.
struct Target {
  double x0 = 0, eps = 0, eps2 = 0, weight = 1;
  double input_x0 = 0, input_eps = 0, input_eps2 = 0;
  Combination answer{};  // what the right answer is, given x0 and the noise of the input
};

class Reading {
 public:
  explicit Reading(Quantity predicted, NetworkTime network_time = NetworkTime::Index, Family family = Family::Vp)
      : predicted_(predicted), network_time_(network_time), family_(family) {}
  // The convention of the models that this configuration belongs to.
  static Reading of(const SchedulerConfig& config);

  Quantity predicted() const { return predicted_; }
  // UserError where the answer does not determine x0: an eps or score network at pure noise. The level has noise.
  CallAt call(const Level& level, Space space = Space::Vp) const;
  Target target(const Level& level) const;
  double time(const Level& level) const;  // what the network is given beside the state
  // x = alpha x0 + sigma eps of the solver's state at the level.
  Mixing state(const Level& level, Space space) const;

 private:
  Combination answer(const Level& level, Mixing native) const;  // of x0 and eps
  double preconditioning(const Level& level) const;             // c_in of the network's input

  Quantity predicted_;
  NetworkTime network_time_;
  Family family_;
  double time_scale_ = 1;
  double sigma_data_ = 0.5;  // edm
};

}  // namespace ito
