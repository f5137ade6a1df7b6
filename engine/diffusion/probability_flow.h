// SPDX-License-Identifier: Apache-2.0
// The probability-flow ODE (Song et al. 2021, eq. 13) of any model, in variables that suit all of them: the state is
// x = alpha x0 + sigma eps with alpha^2 + sigma^2 = 1, the time l = ln s. Then
//   dx/dl = alpha sigma (alpha eps - sigma x0),
// eps and x0 as the network estimates them from x and s. The flow in a family's own state and time is this one: a state
// is a factor away that depends on s alone, and the path does not know how fast it is walked. What speaks for x and l:
// the state has the size of data and noise all along, the slope is bounded where a network predicts either of x0 and
// eps and goes to 0 towards both ends, and no derivative of a schedule, which a table has none of, is asked for.
#pragma once
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/reading.h"
#include "kernels/diffusion/flow_row.h"

namespace ito {

struct ProbabilityFlow {
  std::vector<FlowRow> rows;  // at l = first, first + spacing, ..., from data to noise, both ends included
  double first, spacing;
  double data, noise;  // l of the ends
  double data_alpha;   // x = data_alpha (x0 + s eps) at the end of the data
  double noise_std;    // of x at the end of the noise, where it is taken for a normal variable
  FlowRow x0;          // in place of the slope: the estimate of x0 at the end of the data

  double least_time() const;  // that a network is asked at
};

// The noisy end is at s = 4096 at most, where data is 1/4096 of the state: a flow begins with none at all. Its state
// there is N(0, I), or s N(0, I) in a family whose alpha is 1. UserError where the network's answer determines no
// image, or the two levels are one.
ProbabilityFlow probability_flow(const Levels& levels, const Reading& reading, const Level& noisy, const Level& clean);

}  // namespace ito
