// SPDX-License-Identifier: Apache-2.0
// The network along the probability flow at one noise-to-signal ratio s, for a state x = alpha x0 + sigma eps with
// alpha^2 + sigma^2 = 1 and l = ln s as the time (probability_flow.h):
//   dx/dl = from_x x + from_pred pred,  pred the network's answer to input_scale x at `time`
#pragma once

namespace ito {

struct FlowRow {
  double time, input_scale;
  double from_x, from_pred;
};

}  // namespace ito
