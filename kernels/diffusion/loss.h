// SPDX-License-Identifier: Apache-2.0
// Mean squared error against a regenerated target: eps comes from the counter again, so that noising stores x_t only.
//   target = eps | x0 | v = sqrt(abar) eps - sqrt(1 - abar) x0  (Salimans and Ho 2022)
//   loss[n] = weight[t_n] / row * sum (pred - target)^2,   dpred = 2 weight[t_n] / (row * batch) (pred - target)
#pragma once
#include "kernels/diffusion/noising.h"

namespace ito {

enum class Prediction : uint8_t { Epsilon, Sample, V };

// loss (N) fp32; dpred (N, row) in pred's type, null: loss only; pred (N, row); x0 (N, row) fp32; t (N).
// batch: images of the whole step, over which the loss is a mean. weight (T) fp32 or null (1).
void diffusion_loss(Stream& stream, float* loss, DataRef dpred, ConstDataRef pred, const float* x0, const int32_t* t,
                    const SampleCounter& counter, const NoiseTables& tables, const float* weight, Prediction prediction,
                    int n, int64_t row, int batch);

}  // namespace ito
