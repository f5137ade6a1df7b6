// SPDX-License-Identifier: Apache-2.0
// AdamW and the moving average over the flat arenas in one pass (formula in the header). What a step decides (learning
// rate, clip factor, bias corrections, EMA decay, whether to apply) is read from the device state once a thread.
// Bytes an element: 20 read (weight, m, v, ema, gradient), 16 written, 2 more for the weights' bf16 copy. As separate
// passes it would be 60, and a pass for the copy 6 more.
// On a GPU a thread takes four neighbours at once: five loads of 16 bytes are under way before the first is needed. On
// a CPU, and for the last elements of a count that four does not divide, one at a time, in the same arithmetic.
// Refused: more than four a thread, since the four blocks that a multiprocessor holds have 80 KiB under way already.
#include "kernels/optim/adamw.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kElementsPerBlock = 2048;
constexpr int kOwn = 4;  // elements a thread takes at once: 16 bytes

// Fixed for a launch, computed on the host in double and rounded once: 1 - beta2 in fp32 would be wrong by 1e-5.
struct AdamWConstants {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
  double weight_decay;
};

// Of a step, the same for every element.
struct StepFactors {
  float scale, keep, rate, inverse_correction2, decay, rest;
};

DEVICE StepFactors factors_of(const TrainState& state, const AdamWConstants& k) {
  return {.scale = state.gradient_scale,
          .keep = static_cast<float>(1.0 - static_cast<double>(state.learning_rate) * k.weight_decay),
          .rate = -state.learning_rate / state.bias_correction1,
          .inverse_correction2 = 1.0f / state.bias_correction2,
          .decay = state.ema_decay,
          .rest = 1.0f - state.ema_decay};
}

DEVICE void update(float& weight, float& m, float& v, float& ema, float gradient, const StepFactors& f,
                   const AdamWConstants& k) {
  const float g = f.scale * gradient;
  const float m1 = fmaf(k.one_minus_beta1, g, k.beta1 * m);
  const float v1 = fmaf(k.one_minus_beta2, g * g, k.beta2 * v);
  const float w = fmaf(f.rate, m1 / (sqrtf(v1 * f.inverse_correction2) + k.eps), f.keep * weight);
  m = m1;
  v = v1;
  weight = w;
  ema = fmaf(f.rest, w, f.decay * ema);
}

template <bool kCopies>
KERNEL void adamw_ema_kernel(float* __restrict__ weight, float* __restrict__ m, float* __restrict__ v,
                             float* __restrict__ ema, bf16* __restrict__ copy, const float* __restrict__ gradient,
                             int64_t count, const TrainState* state, AdamWConstants k) {
  if (!state->apply) return;
  const StepFactors f = factors_of(*state, k);
  const int64_t packs = WARP == 1 ? 0 : count / kOwn, packed = packs * kOwn;
  GRID_LOOP(pack, packs) {
    using Floats = Packed<float, kOwn>;
    const int64_t i = pack * kOwn;
    Floats w = Floats::load(weight + i), m1 = Floats::load(m + i), v1 = Floats::load(v + i);
    Floats average = Floats::load(ema + i);
    const Floats g = Floats::load(gradient + i);
    Packed<bf16, kOwn> rounded;
    for (int j = 0; j < kOwn; ++j) {
      update(w[j], m1[j], v1[j], average[j], g[j], f, k);
      if constexpr (kCopies) rounded[j] = from_float<bf16>(w[j]);
    }
    w.store(weight + i);
    m1.store(m + i);
    v1.store(v + i);
    average.store(ema + i);
    if constexpr (kCopies) rounded.store(copy + i);
  }
  GRID_LOOP(rest, count - packed) {
    const int64_t i = packed + rest;
    update(weight[i], m[i], v[i], ema[i], gradient[i], f, k);
    if constexpr (kCopies) copy[i] = from_float<bf16>(weight[i]);
  }
}

}  // namespace

void adamw_ema(Stream& stream, float* weight, float* m, float* v, float* ema, bf16* copy, const float* gradient,
               int64_t count, const TrainState* state, const OptimizerSettings& settings) {
  ITO_CHECK(count >= 0, "adamw_ema: count is ", count, ", expected 0 or more");
  ITO_CHECK(state, "adamw_ema: the state is null");
  const double beta1 = settings.beta1, beta2 = settings.beta2;
  const AdamWConstants constants{static_cast<float>(beta1),        static_cast<float>(1.0 - beta1),
                                 static_cast<float>(beta2),        static_cast<float>(1.0 - beta2),
                                 static_cast<float>(settings.eps), static_cast<double>(settings.weight_decay)};
  const Dim3 grid(ceil_div(count, kElementsPerBlock));
  if (copy)
    launch<adamw_ema_kernel<true>>("adamw_ema", grid, kThreads, 0, stream, weight, m, v, ema, copy, gradient, count,
                                   state, constants);
  else
    launch<adamw_ema_kernel<false>>("adamw_ema", grid, kThreads, 0, stream, weight, m, v, ema, copy, gradient, count,
                                    state, constants);
}

}  // namespace ito
