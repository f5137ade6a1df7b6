// SPDX-License-Identifier: Apache-2.0
// The convention between a network and a level, in both directions: what it is given and how its answer is read when
// sampling, and what it is taught in training.
#pragma once
#include <cstdint>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/quantity.h"

namespace ito {

// The number that tells a network its level.
enum class NetworkTime : uint8_t {
  Index,            // the timestep 0..T-1, or between two of them
  Sigma,            // s = sigma / alpha
  LogSigmaQuarter,  // ln(s) / 4 (Karras et al. 2022)
};

// The variables a solver works in. The network's input is always alpha x0 + sigma eps.
enum class Space : uint8_t {
  Vp,     // x itself
  Sigma,  // y = x / alpha = x0 + s eps
};

// A network call at a level, for a state x of the solver's space.
struct CallAt {
  double time;             // of the network
  double input_scale;      // times x: the network's input
  Conversion x0, eps;      // from x and the answer
  Conversion eps_from_x0;  // from x and an estimate of x0 (a clipped one, say)
};

// What the network is taught at a level: x0 * x0 + eps * eps, and the weight of its squared error.
struct Target {
  double x0, eps, weight;
};

class Reading {
 public:
  explicit Reading(Quantity predicted, NetworkTime network_time = NetworkTime::Index)
      : predicted_(predicted), network_time_(network_time) {}

  Quantity predicted() const { return predicted_; }
  // UserError where the answer does not determine x0: an eps or score network at pure noise. The level has noise.
  CallAt call(const Level& level, Space space = Space::Vp) const;
  Target target(const Level& level) const;
  double time(const Level& level) const;  // what the network is given beside the state

 private:
  Quantity predicted_;
  NetworkTime network_time_;
};

}  // namespace ito
