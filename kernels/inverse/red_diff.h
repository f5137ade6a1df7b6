// SPDX-License-Identifier: Apache-2.0
// A step of RED-diff (Mardani et al. 2024): the estimate mu walks down
//   |y - H mu|^2 / (2 M) + lambda s_t (e(x_t) - eps) . mu / N,   x_t = sqrt(a) mu + sqrt(1-a) eps,
// by Adam, the network not differentiated, and x_t is made for the next row.
#pragma once
#include "kernels/diffusion/reverse_row.h"

namespace ito {

struct RedDiffRow {
  float score = 0;                       // lambda s_t / N
  float rate = 0;                        // of Adam, times the bias corrections: rate sqrt(1 - b2^k) / (1 - b1^k)
  float epsilon = 0;                     // 1e-8 sqrt(1 - b2^k)
  float next_alpha = 1, next_sigma = 0;  // of the next x_t; 1 and 0 after the last row
};

// Per number, (N, size) each.
struct RedDiffState {
  float *mu, *first, *second;  // the estimate, Adam's moments
  float* x;                    // x_t
};

struct RedDiffInputs {
  ConstDataRef pred;
  bool wide = false;
  const float *eps, *next_eps;  // of this x_t and of the next
  const float* data;            // H^T (y - H mu)
  float data_weight;            // 1 / M
  const ReverseRow* rows;
  const RedDiffRow* steps;
  const int64_t* row;
};

inline constexpr float kRedDiffBeta1 = 0.9f, kRedDiffBeta2 = 0.99f;

// x = x clipped to +-bound, in place: a start from a pseudo-inverse, which may have made noise very large.
void clip_start(Stream& stream, float* x, float bound, int64_t count);

void red_diff_step(Stream& stream, const RedDiffState& state, const RedDiffInputs& in, int n, int pixels, int c);

}  // namespace ito
