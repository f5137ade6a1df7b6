// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019) and the exponential moving averages in one pass over all parameters:
//   g = gradient_scale * gradient;  w -= lr wd w;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
//   w -= lr (m / c1) / (sqrt(v / c2) + eps);  ema = d ema + (1-d) w, of each average with its own d
// Nothing is written when state->apply is 0: a bf16 copy is then still that of the weights.
#pragma once
#include "kernels/optim/gradient_norm.h"

namespace ito {

// The averages' arenas, the first ones given; those behind the count are null.
struct EmaArenas {
  EmaArenas(float* only) : of{only} {}  // NOLINT(google-explicit-constructor): one is the usual number
  EmaArenas() = default;
  float* of[kMostEmas] = {};
  int count = 1;
  EmaArenas from(int64_t first) const;  // of a slice
};

// weight, m, v, gradient, and each of emas: `count` fp32 each (the flat arenas), aligned to 16 bytes. copy: `count`
// bf16, aligned to 8: the new weights rounded, for kernels that read them so; null: none is made. state: device memory,
// after optimizer_prepare. No element knows of another: a slice of the arenas, so aligned, has the bits of the whole.
void adamw_ema(Stream& stream, float* weight, float* m, float* v, const EmaArenas& emas, bf16* copy,
               const float* gradient, int64_t count, const TrainState* state, const OptimizerSettings& settings);

}  // namespace ito
