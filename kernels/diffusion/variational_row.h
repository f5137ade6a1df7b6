// SPDX-License-Identifier: Apache-2.0
// How a network's answer at a timestep becomes a term of the variational bound, as numbers: every reverse option and
// every prediction is such a row, so that the kernel of the terms (variational.h) knows neither.
#pragma once
#include <cstdint>

namespace ito {

enum class BoundTerm : int32_t { Divergence, Bytes, Density };

// How an answer is read at a timestep:
//   D = x0_from_x x_t + x0_from_pred answer, clipped to +-clip where that is above 0,
//   d = from_x0 x0 + from_d D + from_x x_t + from_pred answer,
//   l = log_variance + f span,  f = (v + 1) / 2, v the answer's second half (span 0: fixed).
struct VariationalRow {
  double x0_from_x = 0, x0_from_pred = 0, clip = 0;
  double from_x0 = 0, from_d = 0, from_x = 0, from_pred = 0;
  double log_variance = 0, span = 0;
  double true_log_variance = 0;  // l*
  BoundTerm term = BoundTerm::Divergence;
};

}  // namespace ito
