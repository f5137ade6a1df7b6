// SPDX-License-Identifier: Apache-2.0
// Standard normals on the host, in double (Box and Muller 1958), from the same draws as the kernels': lanes (0, 1) and
// (2, 3) are the cosine and the sine of a pair.
#pragma once
#include <cmath>
#include <numbers>

#include "kernels/random/philox.h"

namespace ito {

// lane: 0 to 3.
inline double host_normal(const Random4& random, int lane) {
  const int pair = lane / 2 * 2;
  const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_open0(random.v[pair]))));
  const double angle = 2.0 * std::numbers::pi * uniform01(random.v[pair + 1]);
  return radius * (lane % 2 ? std::sin(angle) : std::cos(angle));
}

}  // namespace ito
