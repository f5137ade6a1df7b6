// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019) and the exponential moving average in one pass over all parameters:
//   g = gradient_scale * gradient;  w -= lr wd w;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
//   w -= lr (m / c1) / (sqrt(v / c2) + eps);  ema = d ema + (1-d) w
// Nothing is written when state->apply is 0: a bf16 copy is then still that of the weights.
#pragma once
#include "kernels/optim/gradient_norm.h"

namespace ito {

// weight, m, v, ema, gradient: `count` fp32 each (the flat arenas), aligned to 16 bytes. copy: `count` bf16, aligned to
// 8: the new weights rounded, for kernels that read them so; null: none is made. state: device memory, after
// optimizer_prepare. No element knows of another: a slice of the arenas, so aligned, has the bits of the whole.
void adamw_ema(Stream& stream, float* weight, float* m, float* v, float* ema, bf16* copy, const float* gradient,
               int64_t count, const TrainState* state, const OptimizerSettings& settings);

}  // namespace ito
