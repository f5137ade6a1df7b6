// SPDX-License-Identifier: Apache-2.0
// See ancestral.h.
#include "engine/samplers/ancestral.h"

#include <algorithm>
#include <cmath>

namespace ito {

AncestralStep ancestral_step(double s, double next, double eta) {
  // At zero SNR the stand-in for the last level may be the less noisy one.
  const double fall = std::max(s * s - next * next, 0.0);
  const double up = std::min(next, eta * next * std::sqrt(fall) / s);
  return {.down = std::sqrt(next * next - up * up), .up = up};
}

}  // namespace ito
