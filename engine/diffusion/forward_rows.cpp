// SPDX-License-Identifier: Apache-2.0
// See forward_rows.h.
#include "engine/diffusion/forward_rows.h"

#include <cmath>

#include "engine/io/option_name.h"
#include "kernels/error.h"

namespace ito {

std::vector<ForwardRow> forward_rows(const Levels& levels, const Reading& reading, const LossWeighting& weighting) {
  std::vector<ForwardRow> rows;
  rows.reserve(levels.steps());
  for (int timestep = 0; timestep < levels.steps(); ++timestep) {
    const Level level = levels.at(timestep);
    const Target target = reading.target(level);
    const auto weight = static_cast<float>(weighting.weight(level, target));
    ITO_USER_CHECK(std::isfinite(weight), option_name("loss_weighting"), " ", weighting.text(), ": its weight of ",
                   reading.predicted().name(), " at timestep ", timestep, " is not finite (SNR ",
                   level.abar / (1 - level.abar), "); choose another weighting or prediction_type");
    rows.push_back({.timestep = static_cast<float>(reading.time(level)),
                    .x0 = static_cast<float>(target.input_x0),
                    .eps = static_cast<float>(target.input_eps),
                    .eps2 = static_cast<float>(target.input_eps2),
                    .target_x0 = static_cast<float>(target.x0),
                    .target_eps = static_cast<float>(target.eps),
                    .target_eps2 = static_cast<float>(target.eps2),
                    .weight = weight,
                    .level = timestep});
  }
  return rows;
}

}  // namespace ito
