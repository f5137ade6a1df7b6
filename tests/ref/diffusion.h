// SPDX-License-Identifier: Apache-2.0
// Draws and the reverse step as plain fp64 loops.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/diffusion/reverse_step.h"
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

// One element of a reverse step; v is the network's variance output.
struct Reversed {
  double next, x0, magnitude;  // magnitude: sum of the absolute terms of next
};

inline Reversed reverse_element(const ReverseCoefficients& k, double x, double pred, double v, double z) {
  double x0 = k.x0_from_x * x + k.x0_from_pred * pred;
  double size = std::fabs(k.x0_from_x * x) + std::fabs(k.x0_from_pred * pred);
  if (k.clip > 0) x0 = std::min(std::max(x0, -static_cast<double>(k.clip)), static_cast<double>(k.clip));
  const bool again = k.eps_from_clipped != 0;
  const double eps = again ? k.eps_clip_x * x + k.eps_clip_x0 * x0 : k.eps_from_x * x + k.eps_from_pred * pred;
  const double eps_size = again ? std::fabs(k.eps_clip_x * x) + std::fabs(k.eps_clip_x0) * size
                                : std::fabs(k.eps_from_x * x) + std::fabs(k.eps_from_pred * pred);
  double std = k.noise_std;
  if (std != 0 && k.learned_variance != 0) {
    const double f = (v + 1) / 2;
    std = std::exp(0.5 * (f * k.log_beta + (1 - f) * k.log_beta_tilde));
  }
  return {
      k.mean_x * x + k.mean_x0 * x0 + k.mean_eps * eps + std * z, x0,
      std::fabs(k.mean_x * x) + std::fabs(k.mean_x0) * size + std::fabs(k.mean_eps) * eps_size + std::fabs(std * z)};
}

}  // namespace ito::ref
