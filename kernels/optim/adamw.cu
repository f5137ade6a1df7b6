// SPDX-License-Identifier: Apache-2.0
// AdamW and the moving average over the flat arenas in one pass (formula in the header). What a step decides (learning
// rate, clip factor, bias corrections, EMA decay, whether to apply) is read from the device state once a thread.
// Bytes an element: 20 read (weight, m, v, ema, gradient), 16 written. As separate passes it would be 60.
#include "kernels/optim/adamw.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kElementsPerBlock = 2048;

// Fixed for a launch, computed on the host in double and rounded once: 1 - beta2 in fp32 would be wrong by 1e-5.
struct AdamWConstants {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
  double weight_decay;
};

KERNEL void adamw_ema_kernel(float* __restrict__ weight, float* __restrict__ m, float* __restrict__ v,
                             float* __restrict__ ema, const float* __restrict__ gradient, int64_t count,
                             const TrainState* state, AdamWConstants k) {
  if (!state->apply) return;
  const float scale = state->gradient_scale;
  const float keep = static_cast<float>(1.0 - static_cast<double>(state->learning_rate) * k.weight_decay);
  const float rate = -state->learning_rate / state->bias_correction1;
  const float inverse_correction2 = 1.0f / state->bias_correction2;
  const float decay = state->ema_decay, rest = 1.0f - decay;
  GRID_LOOP(i, count) {
    const float g = scale * gradient[i];
    const float m1 = fmaf(k.one_minus_beta1, g, k.beta1 * m[i]);
    const float v1 = fmaf(k.one_minus_beta2, g * g, k.beta2 * v[i]);
    const float w = fmaf(rate, m1 / (sqrtf(v1 * inverse_correction2) + k.eps), keep * weight[i]);
    m[i] = m1;
    v[i] = v1;
    weight[i] = w;
    ema[i] = fmaf(rest, w, decay * ema[i]);
  }
}

}  // namespace

void adamw_ema(Stream& stream, float* weight, float* m, float* v, float* ema, const float* gradient, int64_t count,
               const TrainState* state, const OptimizerSettings& settings) {
  ITO_CHECK(count >= 0, "adamw_ema: count is ", count, ", expected 0 or more");
  ITO_CHECK(state, "adamw_ema: the state is null");
  const double beta1 = settings.beta1, beta2 = settings.beta2;
  const AdamWConstants constants{static_cast<float>(beta1),        static_cast<float>(1.0 - beta1),
                                 static_cast<float>(beta2),        static_cast<float>(1.0 - beta2),
                                 static_cast<float>(settings.eps), static_cast<double>(settings.weight_decay)};
  launch<adamw_ema_kernel>("adamw_ema", Dim3(ceil_div(count, kElementsPerBlock)), kThreads, 0, stream, weight, m, v,
                           ema, gradient, count, state, constants);
}

}  // namespace ito
