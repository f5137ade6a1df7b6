// SPDX-License-Identifier: Apache-2.0
// The global gradient norm and what one optimiser step decides from it.
//   norm = sqrt(sum g^2);  clip factor = min(1, max_norm / (norm + 1e-6))  (torch.nn.utils.clip_grad_norm_)
//   apply = norm and loss are finite;  decays of the averages: EmaProfile
// Squares and sums are in double: an fp32 square overflows at 1.8e19, a size a gradient may have before clipping.
// A block sums kNormSpan elements into one partial; on a CPU in sixteen lanes, folded in order. Bytes an element: 4.
// The decision is one block: a block because a single thread would wait for memory once a partial.
#include "kernels/optim/gradient_norm.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"
#include "kernels/nn/sum_tree.cuh"

namespace ito {
namespace {

constexpr int kThreads = 256;

template <int NT>
KERNEL void gradient_square_sums_kernel(double* partial, const float* gradient, int64_t count) {
  constexpr int kLanes = NT == 1 ? 16 : 1;  // running sums of a thread
  const int64_t first = int64_t{blockIdx.x} * kNormSpan;
  const int64_t width = first + kNormSpan < count ? kNormSpan : count - first;
  const float* g = gradient + first;
  double lane[kLanes] = {};
  const int64_t whole = width / (NT * kLanes) * (NT * kLanes);
  for (int64_t i = int64_t{threadIdx.x} * kLanes; i < whole; i += NT * kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double v = static_cast<double>(g[i + l]);
      lane[l] += v * v;  // a square of 24 bits is exact in double, so a fused form gives the same bits
    }
  }
  double sum = 0.0;
  for (int l = 0; l < kLanes; ++l) sum += lane[l];
  for (int64_t i = whole + threadIdx.x; i < width; i += NT) {
    const double v = static_cast<double>(g[i]);
    sum += v * v;
  }
  const double total = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// s: updates before this one. The power in double: at a million updates 1 - decay is a hundred thousandth.
DEVICE float ema_decay(const EmaProfile& ema, const OptimizerSettings& settings, double s) {
  if (ema.power > 0.0) return s > 0.0 ? static_cast<float>(double_exp(ema.power * double_log(s / (s + 1.0)))) : 0.0f;
  const double ramp = 1.0 - double_exp(-static_cast<double>(settings.ema_ramp) *
                                       double_log(1.0 + s / static_cast<double>(settings.ema_inv_gamma)));
  const double most = static_cast<double>(ema.max_decay);
  return static_cast<float>(ramp < most ? ramp : most);
}

// A float learning rate, because every later use is fp32.
DEVICE void decide(TrainState* state, double loss, double norm, const float* learning_rates,
                   const OptimizerSettings& settings) {
  const bool apply = is_finite(norm) && is_finite(loss);
  const double factor = settings.max_gradient_norm / (norm + 1e-6);
  const bool clips = settings.max_gradient_norm > 0.0f && factor < 1.0;
  state->last_loss = loss;
  state->gradient_norm = norm;
  if (is_finite(loss)) {
    state->loss_sum += loss;
    state->loss_count += 1;
  }
  state->learning_rate = learning_rates[state->step];
  state->gradient_scale = clips ? static_cast<float>(factor) : 1.0f;
  state->apply = apply ? 1 : 0;
  if (apply) {
    state->beta1_power *= settings.beta1;
    state->beta2_power *= settings.beta2;
    state->bias_correction1 = static_cast<float>(1.0 - state->beta1_power);
    state->bias_correction2 = static_cast<float>(1.0 - state->beta2_power);
    const double s = static_cast<double>(state->applied);
    state->ema_decay = ema_decay(settings.emas[0], settings, s);
    for (int i = 1; i < kMostEmas; ++i)
      if (i < settings.ema_count) state->more_ema_decays[i - 1] = ema_decay(settings.emas[i], settings, s);
    state->applied += 1;
    state->skipped_in_row = 0;
  } else {
    state->skipped += 1;
    state->skipped_in_row += 1;
    if (state->most_skipped_in_row < state->skipped_in_row) state->most_skipped_in_row = state->skipped_in_row;
  }
  state->step += 1;
}

// The tree's sum of the losses. A thread sums the subtree of `own` leaves, a power of two, at its number;
// what stands beyond the batch is nothing, and adding its zeros changes no bit.
template <int NT>
DEVICE double sum_losses(const float* loss, int batch, int chunk, int own) {
  SHARED(double, subtree, NT);
  TreeSum<double, 1> tree;
  const int64_t first = int64_t{threadIdx.x} * own * chunk;
  const int64_t last = first + int64_t{own} * chunk < batch ? first + int64_t{own} * chunk : batch;
  for (int64_t begin = first; begin < last; begin += chunk) {
    double* sum = tree.begin((begin - first) / chunk);
    for (int64_t i = begin; i < begin + chunk && i < last; ++i) *sum += static_cast<double>(loss[i]);
  }
  subtree[threadIdx.x] = *tree.total();
  for (int half = 1; half < NT; half *= 2) {
    block_sync();
    const int at = static_cast<int>(threadIdx.x) * 2 * half;
    if (at + half < NT) subtree[at] += subtree[at + half];
  }
  block_sync();
  return subtree[0];
}

template <int NT>
KERNEL void optimizer_prepare_kernel(TrainState* state, const float* loss, int batch, int chunk, int own,
                                     const double* partial, int64_t partials, const float* learning_rates,
                                     OptimizerSettings settings) {
  const double loss_total = sum_losses<NT>(loss, batch, chunk, own);
  double squares = 0.0;
  BLOCK_LOOP(i, partials) squares += partial[i];
  const double square_total = block_sum(squares);
  if (threadIdx.x == 0) decide(state, loss_total / batch, sqrt(square_total), learning_rates, settings);
}

}  // namespace

void gradient_square_sums(Stream& stream, double* partial, const float* gradient, int64_t count) {
  ITO_CHECK(count >= 0, "gradient_square_sums: count is ", count, ", expected 0 or more");
  constexpr int NT = block_threads(kThreads);
  launch<gradient_square_sums_kernel<NT>>("gradient_square_sums", Dim3(ceil_div(count, kNormSpan)), NT, 0, stream,
                                          partial, gradient, count);
}

void optimizer_prepare(Stream& stream, TrainState* state, const float* loss, int batch, const double* partial,
                       int64_t partials, const float* learning_rates, const OptimizerSettings& settings) {
  ITO_CHECK(batch > 0 && partials >= 0, "optimizer_prepare: batch ", batch, ", ", partials,
            " partial sums, expected a positive batch");
  ITO_CHECK(state && learning_rates, "optimizer_prepare: the state or the learning rate table is null");
  ITO_CHECK(settings.ema_inv_gamma > 0.0f, "optimizer_prepare: ema_inv_gamma is ", settings.ema_inv_gamma,
            ", expected above 0");
  ITO_CHECK(settings.ema_count >= 1 && settings.ema_count <= kMostEmas, "optimizer_prepare: ", settings.ema_count,
            " moving averages, expected 1 to ", kMostEmas);
  constexpr int NT = block_threads(kThreads);
  const int chunk = images_per_chunk();
  check_leaves("optimizer_prepare", ceil_div(batch, chunk));
  int own = 1;
  while (int64_t{own} * NT * chunk < batch) own *= 2;
  launch<optimizer_prepare_kernel<NT>>("optimizer_prepare", Dim3(1), NT, 0, stream, state, loss, batch, chunk, own,
                                       partial, partials, learning_rates, settings);
}

}  // namespace ito
