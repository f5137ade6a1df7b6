// SPDX-License-Identifier: Apache-2.0
// How the ranks of a run share its time: who holds the others up, and what is left to the exchange itself.
#pragma once
#include <optional>

#include "kernels/seams/comm.h"

namespace ito {

struct RankTimes {
  double waited = 0;    // share of the time that ranks stood still for others and for the exchange, in the mean
  int slowest = 0;      // the rank that stood still least
  double exchange = 0;  // its share, in which no rank waits for another but all for the bytes
};

// Of each rank's seconds, and those of them in which it waited. All ranks call it; nothing for one rank alone, or where
// no time has passed.
std::optional<RankTimes> rank_times(Communicator& ranks, double seconds, double waiting);

}  // namespace ito
