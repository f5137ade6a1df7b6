// SPDX-License-Identifier: Apache-2.0
// See rank_times.h.
#include "engine/ranks/rank_times.h"

#include <algorithm>
#include <vector>

namespace ito {

std::optional<RankTimes> rank_times(Communicator& ranks, double seconds, double waiting) {
  if (ranks.size() == 1) return {};
  const double own = seconds > 0 ? waiting / seconds : -1;
  std::vector<double> shares(static_cast<size_t>(ranks.size()));
  ranks.gather(shares.data(), &own, sizeof own);
  const auto least = std::ranges::min_element(shares);
  if (*least < 0) return {};
  RankTimes times;
  times.slowest = static_cast<int>(least - shares.begin());
  times.exchange = *least;
  for (const double share : shares) times.waited += share / static_cast<double>(shares.size());
  return times;
}

}  // namespace ito
