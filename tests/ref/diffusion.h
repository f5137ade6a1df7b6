// SPDX-License-Identifier: Apache-2.0
// Draws as plain fp64 loops.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/random/philox.h"

namespace ito::ref {

using Values = std::vector<double>;

// Element e of sample `sample`: Box-Muller in fp64 on the same bits.
inline double normal(uint64_t seed, int64_t e, uint32_t step, uint32_t sample, uint32_t purpose) {
  const Random4 r = philox4x32(seed, static_cast<uint32_t>(e / 4), step, sample, purpose);
  const int pair = static_cast<int>(e % 4) / 2;
  const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_open0(r.v[2 * pair]))));
  const double angle = 2.0 * M_PI * static_cast<double>(uniform01(r.v[2 * pair + 1]));
  return radius * (e % 2 ? std::sin(angle) : std::cos(angle));
}

inline Values normals(uint64_t seed, uint32_t step, uint32_t first_sample, uint32_t purpose, int n, int64_t row) {
  Values out(static_cast<size_t>(n * row));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = normal(seed, static_cast<int64_t>(i) % row, step, first_sample + static_cast<uint32_t>(i / row), purpose);
  }
  return out;
}

}  // namespace ito::ref
