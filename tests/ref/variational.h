// SPDX-License-Identifier: Apache-2.0
// A number's term of the variational bound, plainly and in long double, whose erfc reaches as far as any answer.
#pragma once
#include <cmath>

#include "kernels/diffusion/variational.h"

namespace ito::ref {

// ln(Phi(high) - Phi(low)); an end may be infinite. On the side where Phi(-t) is small and keeps its digits.
inline long double log_normal_between(long double low, long double high) {
  const auto beyond = [](long double t) { return std::erfc(t / std::sqrt(2.0L)) / 2; };
  const bool mirrored = low + high < 0;
  return std::log(mirrored ? beyond(-high) - beyond(-low) : beyond(low) - beyond(high));
}

// answer, v: the two halves of the network's answer; x: the noised number.
inline long double variational_term(const VariationalRow& row, double x0, double x, long double answer, long double v) {
  long double estimate = row.x0_from_x * x + row.x0_from_pred * answer;
  if (row.clip > 0) estimate = std::fmax(std::fmin(estimate, row.clip), -row.clip);
  const long double d = row.from_x0 * x0 + row.from_d * estimate + row.from_x * x + row.from_pred * answer;
  const long double l = row.log_variance + row.span * (v + 1) / 2;
  if (row.term == BoundTerm::Bytes) {
    const long double scale = std::exp(-l / 2), half = 1.0L / 255;
    return -log_normal_between(x0 < -0.999 ? -INFINITY : (d - half) * scale,
                               x0 > 0.999 ? INFINITY : (d + half) * scale);
  }
  if (row.term == BoundTerm::Density) return (d * d * std::exp(-l) + l + std::log(2 * M_PIl)) / 2;
  const long double apart = row.true_log_variance - l;
  return (std::exp(apart) - 1 - apart + d * d * std::exp(-l)) / 2;
}

}  // namespace ito::ref
