// SPDX-License-Identifier: Apache-2.0
// What a network may predict, and how each such quantity follows from x_t and any other. With a = sqrt(abar),
// s = sqrt(1 - abar) and x_t = a x0 + s eps, every quantity is a combination of x0 and eps:
//   epsilon = eps,   sample = x0,   v = a eps - s x0 (Salimans and Ho 2022),   score = -eps / s (Song et al. 2021),
// so one 2 x 2 system serves every pair, and its determinant is zero just where the conversion does not exist.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/diffusion/loss.h"

namespace ito {

enum class Quantity : uint8_t { Epsilon, Sample, V, Score };

constexpr Quantity quantity_of(Prediction prediction) {
  switch (prediction) {
    case Prediction::Epsilon:
      return Quantity::Epsilon;
    case Prediction::Sample:
      return Quantity::Sample;
    case Prediction::V:
      return Quantity::V;
  }
  return Quantity::Epsilon;
}

// wanted = from_x x_t + from_given given.
struct Conversion {
  double from_x, from_given;
};

// Whether given and x_t determine everything else: at abar = 0, x_t is pure noise and eps or the score tell nothing of
// x0.
inline bool is_determined(Quantity given, double alpha_bar) {
  return alpha_bar > 0 || given == Quantity::Sample || given == Quantity::V;
}

// At the step with this alpha_bar, 0 <= alpha_bar < 1.
inline Conversion conversion(Quantity given, Quantity wanted, double alpha_bar) {
  ITO_CHECK(alpha_bar >= 0 && alpha_bar < 1, "conversion of predictions: alpha_bar is ", alpha_bar,
            "; expected [0, 1)");
  if (given == wanted) return {0, 1};
  ITO_CHECK(is_determined(given, alpha_bar),
            "conversion of predictions: alpha_bar is 0, where eps and score determine no x0");
  const double a = std::sqrt(alpha_bar), s = std::sqrt(1 - alpha_bar);
  struct Row {
    double x0, eps;
  };
  const auto row = [a, s](Quantity quantity) -> Row {
    switch (quantity) {
      case Quantity::Epsilon:
        return {0, 1};
      case Quantity::Sample:
        return {1, 0};
      case Quantity::V:
        return {-s, a};
      case Quantity::Score:
        return {0, -1 / s};
    }
    return {0, 1};
  };
  // [x_t; given] = [a s; g.x0 g.eps] [x0; eps], inverted and applied to the wanted row.
  const Row g = row(given), w = row(wanted);
  const double determinant = a * g.eps - s * g.x0;
  return {(w.x0 * g.eps - w.eps * g.x0) / determinant, (w.eps * a - w.x0 * s) / determinant};
}

}  // namespace ito
