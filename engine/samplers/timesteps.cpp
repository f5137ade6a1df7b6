// SPDX-License-Identifier: Apache-2.0
// Grids of timesteps. trailing is written by index: the published half-open range of floats gives count + 1 entries,
// the last of them -1, for some counts (61, 103, 121, ...).
#include "engine/samplers/timesteps.h"

#include <cmath>

#include "kernels/error.h"

namespace ito {

std::vector<int> spaced_timesteps(TimestepSpacing spacing, int steps, int count, int offset) {
  ITO_USER_CHECK(count >= 1 && count <= steps, "sampling steps: ", count, "; expected 1 to ", steps,
                 ", the timesteps the model was trained on");
  std::vector<int> timesteps(count);
  const double stride = count > 1 ? (steps - 1.0) / (count - 1.0) : 0;
  for (int i = 0; i < count; ++i) {
    const int ascending = count - 1 - i;
    switch (spacing) {
      case TimestepSpacing::Leading:
        timesteps[i] = ascending * (steps / count) + offset;
        break;
      case TimestepSpacing::Linspace:
        timesteps[i] = static_cast<int>(std::nearbyint(ascending * stride));
        break;
      case TimestepSpacing::Trailing: {
        // The whole-number product keeps a tie (x.5) exact.
        const double down = static_cast<double>(static_cast<int64_t>(i) * steps) / count;
        timesteps[i] = static_cast<int>(std::nearbyint(steps - down)) - 1;
        break;
      }
    }
  }
  ITO_USER_CHECK(timesteps.front() < steps, "sampling steps: ", count,
                 " with timestep_spacing leading and steps_offset ", offset, " begin at timestep ", timesteps.front(),
                 ", past the last, ", steps - 1, "; use fewer steps or another spacing");
  return timesteps;
}

}  // namespace ito
