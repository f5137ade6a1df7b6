// SPDX-License-Identifier: Apache-2.0
// AdamW and the moving averages over the flat arenas in one pass (formula in the header). What a step decides (learning
// rate, clip factor, bias corrections, decays, whether to apply) is read from the device state once a thread.
// Bytes an element: 20 read (weight, m, v, ema, gradient), 16 written, 8 more for each further average, 2 more for the
// weights' bf16 copy. As separate passes it would be 60, 12 more for each further average and 6 for the copy.
// On a GPU a thread takes four neighbours at once: five loads of 16 bytes are under way before the first is needed. On
// a CPU, and for the last elements of a count that four does not divide, one at a time, in the same arithmetic.
// The number of averages is a template's, so that all loads stand before the first use and a single one costs nothing.
// Refused: more than four a thread, since the four blocks that a multiprocessor holds have 80 KiB under way already.
#include "kernels/optim/adamw.h"

#include <array>

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
template <int kEmas>
struct StepFactors {
  float scale, keep, rate, inverse_correction2, decay[kEmas];
};

template <int kEmas>
DEVICE StepFactors<kEmas> factors_of(const TrainState& state, const AdamWConstants& k) {
  StepFactors<kEmas> f{.scale = state.gradient_scale,
                       .keep = static_cast<float>(1.0 - static_cast<double>(state.learning_rate) * k.weight_decay),
                       .rate = -state.learning_rate / state.bias_correction1,
                       .inverse_correction2 = 1.0f / state.bias_correction2,
                       .decay = {state.ema_decay}};
  for (int e = 1; e < kEmas; ++e) f.decay[e] = state.more_ema_decays[e - 1];
  return f;
}

DEVICE float averaged(float ema, float weight, float decay) {
  return fmaf(1.0f - decay, weight, decay * ema);
}

template <class Factors>
DEVICE void update(float& weight, float& m, float& v, float gradient, const Factors& f, const AdamWConstants& k) {
  const float g = f.scale * gradient;
  const float m1 = fmaf(k.one_minus_beta1, g, k.beta1 * m);
  const float v1 = fmaf(k.one_minus_beta2, g * g, k.beta2 * v);
  const float w = fmaf(f.rate, m1 / (sqrtf(v1 * f.inverse_correction2) + k.eps), f.keep * weight);
  m = m1;
  v = v1;
  weight = w;
}

template <bool kCopies, int kEmas>
KERNEL void adamw_ema_kernel(float* __restrict__ weight, float* __restrict__ m, float* __restrict__ v,
                             float* __restrict__ ema0, float* __restrict__ ema1, float* __restrict__ ema2,
                             float* __restrict__ ema3, bf16* __restrict__ copy, const float* __restrict__ gradient,
                             int64_t count, const TrainState* state, AdamWConstants k) {
  static_assert(kEmas <= 4 && kMostEmas == 4);
  if (!state->apply) return;
  const StepFactors<kEmas> f = factors_of<kEmas>(*state, k);
  const int64_t packs = WARP == 1 ? 0 : count / kOwn, packed = packs * kOwn;
  GRID_LOOP(pack, packs) {
    using Floats = Packed<float, kOwn>;
    const int64_t i = pack * kOwn;
    Floats w = Floats::load(weight + i), m1 = Floats::load(m + i), v1 = Floats::load(v + i);
    Floats average[kEmas];
    average[0] = Floats::load(ema0 + i);
    if constexpr (kEmas > 1) average[1] = Floats::load(ema1 + i);
    if constexpr (kEmas > 2) average[2] = Floats::load(ema2 + i);
    if constexpr (kEmas > 3) average[3] = Floats::load(ema3 + i);
    const Floats g = Floats::load(gradient + i);
    Packed<bf16, kOwn> rounded;
    for (int j = 0; j < kOwn; ++j) {
      update(w[j], m1[j], v1[j], g[j], f, k);
      for (int e = 0; e < kEmas; ++e) average[e][j] = averaged(average[e][j], w[j], f.decay[e]);
      if constexpr (kCopies) rounded[j] = from_float<bf16>(w[j]);
    }
    w.store(weight + i);
    m1.store(m + i);
    v1.store(v + i);
    average[0].store(ema0 + i);
    if constexpr (kEmas > 1) average[1].store(ema1 + i);
    if constexpr (kEmas > 2) average[2].store(ema2 + i);
    if constexpr (kEmas > 3) average[3].store(ema3 + i);
    if constexpr (kCopies) rounded.store(copy + i);
  }
  GRID_LOOP(rest, count - packed) {
    const int64_t i = packed + rest;
    update(weight[i], m[i], v[i], gradient[i], f, k);
    ema0[i] = averaged(ema0[i], weight[i], f.decay[0]);
    if constexpr (kEmas > 1) ema1[i] = averaged(ema1[i], weight[i], f.decay[1]);
    if constexpr (kEmas > 2) ema2[i] = averaged(ema2[i], weight[i], f.decay[2]);
    if constexpr (kEmas > 3) ema3[i] = averaged(ema3[i], weight[i], f.decay[3]);
    if constexpr (kCopies) copy[i] = from_float<bf16>(weight[i]);
  }
}

template <bool kCopies, int kEmas>
void launch_update(Stream& stream, float* weight, float* m, float* v, const EmaArenas& emas, bf16* copy,
                   const float* gradient, int64_t count, const TrainState* state, const AdamWConstants& constants) {
  launch<adamw_ema_kernel<kCopies, kEmas>>("adamw_ema", Dim3(ceil_div(count, kElementsPerBlock)), kThreads, 0, stream,
                                           weight, m, v, emas.of[0], emas.of[1], emas.of[2], emas.of[3], copy, gradient,
                                           count, state, constants);
}

}  // namespace

EmaArenas EmaArenas::from(int64_t first) const {
  EmaArenas slice = *this;
  for (int e = 0; e < count; ++e) slice.of[e] += first;
  return slice;
}

void adamw_ema(Stream& stream, float* weight, float* m, float* v, const EmaArenas& emas, bf16* copy,
               const float* gradient, int64_t count, const TrainState* state, const OptimizerSettings& settings) {
  ITO_CHECK(count >= 0, "adamw_ema: count is ", count, ", expected 0 or more");
  ITO_CHECK(state, "adamw_ema: the state is null");
  const double beta1 = settings.beta1, beta2 = settings.beta2;
  const AdamWConstants constants{static_cast<float>(beta1),        static_cast<float>(1.0 - beta1),
                                 static_cast<float>(beta2),        static_cast<float>(1.0 - beta2),
                                 static_cast<float>(settings.eps), static_cast<double>(settings.weight_decay)};
  ITO_CHECK(emas.count >= 1 && emas.count <= kMostEmas && emas.count == settings.ema_count, "adamw_ema: ", emas.count,
            " moving averages given, the settings have ", settings.ema_count);
  constexpr auto kLaunch = [] {
    std::array<std::array<decltype(&launch_update<false, 1>), kMostEmas>, 2> of{};
    of[0] = {launch_update<false, 1>, launch_update<false, 2>, launch_update<false, 3>, launch_update<false, 4>};
    of[1] = {launch_update<true, 1>, launch_update<true, 2>, launch_update<true, 3>, launch_update<true, 4>};
    return of;
  }();
  kLaunch[copy ? 1 : 0][emas.count - 1](stream, weight, m, v, emas, copy, gradient, count, state, constants);
}

}  // namespace ito
