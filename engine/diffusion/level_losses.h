// SPDX-License-Identifier: Apache-2.0
// What a draw of levels by their losses has learnt: the state that a checkpoint keeps of it.
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

// Both empty where the draw learns nothing. Laid out as in kernels/diffusion/level_losses.h.
struct LevelLosses {
  std::vector<float> losses;    // (T, kLevelHistory)
  std::vector<int32_t> counts;  // (T)

  bool operator==(const LevelLosses&) const = default;
};

}  // namespace ito
