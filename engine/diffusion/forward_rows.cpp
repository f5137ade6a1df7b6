// SPDX-License-Identifier: Apache-2.0
// See forward_rows.h.
#include "engine/diffusion/forward_rows.h"

namespace ito {

std::vector<ForwardRow> forward_rows(const Levels& levels, const Reading& reading) {
  std::vector<ForwardRow> rows;
  rows.reserve(levels.steps());
  for (int timestep = 0; timestep < levels.steps(); ++timestep) {
    const Level level = levels.at(timestep);
    const Target target = reading.target(level);
    rows.push_back({.timestep = static_cast<float>(reading.time(level)),
                    .x0 = static_cast<float>(target.input.alpha),
                    .eps = static_cast<float>(target.input.sigma),
                    .eps2 = 0,
                    .target_x0 = static_cast<float>(target.x0),
                    .target_eps = static_cast<float>(target.eps),
                    .target_eps2 = 0,
                    .weight = static_cast<float>(target.weight),
                    .level = timestep});
  }
  return rows;
}

}  // namespace ito
