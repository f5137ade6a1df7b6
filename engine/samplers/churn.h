// SPDX-License-Identifier: Apache-2.0
// Churn (Karras et al. 2022, algorithm 2): before a step the state at s is brought up to s^ = s (1 + g) by noise, and
// the network is called there:
//   g = min(S_churn / n, sqrt(2) - 1) where S_min <= s <= S_max, else 0;  y^ = y + S_noise sqrt(s^^2 - s^2) z.
// A row writes after its call, so the noise of a step ends the row before, and that of the first is in the opening.
// A run with churn counts a draw a step, also where g is 0. Above the schedule's last level the network is told the
// last timestep.
#pragma once
#include <limits>

#include "engine/samplers/sampler.h"

namespace ito {

inline constexpr SamplerOption kChurnOption = {"s_churn", 0, 0, 1000, "noise added before calls, over the whole run"};
inline constexpr SamplerOption kChurnMinOption = {"s_tmin", 0, 0, 1e6, "least sigma / alpha with churn"};
inline constexpr SamplerOption kChurnMaxOption = {"s_tmax", std::numeric_limits<double>::infinity(), 0,
                                                  std::numeric_limits<double>::infinity(),
                                                  "greatest sigma / alpha with churn"};

// Of a sampler that declares the three and kNoiseScaleOption.
class Churn {
 public:
  explicit Churn(const SamplingProblem& problem);

  // Before the first call.
  void open(RowBuilder& rows) const;
  // Where the step from node i begins, and the network is called.
  Level start(int i) const;
  // A term of the write that brings the state to node i + 1: from there to the start of its step.
  void end_step(RowBuilder& rows, int i) const;

 private:
  double noise(int i) const;

  const SamplingProblem& problem_;
  double growth_, least_, greatest_, scale_;
};

}  // namespace ito
