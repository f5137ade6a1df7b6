// SPDX-License-Identifier: Apache-2.0
// One reverse step in one pass over the image: x0 estimate, clip, any combination linear in (x, x0, eps), noise. The
// step's coefficients are read from a device table at *step, so that a captured graph replays every step.
// Block = (image, 4096 elements), four elements a thread at a time; the z of four elements is one philox call, drawn
// only when the step has noise. The state x stays fp32; the network's copy is written in the same pass.
// Bytes an element: x 4 read and 4 written, pred read (twice its width with learned variance), x_network and x0_out
// written where wanted.
#include "kernels/diffusion/reverse_step.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

// fminf(fmaxf(v, -bound), bound) bit for bit (NaN becomes -bound), as compares that vectorise.
DEVICE float clip_to(float v, float bound) {
  const float above = v > -bound ? v : -bound;
  return above < bound ? above : bound;
}

template <class T>
KERNEL void reverse_step_kernel(float* x, T* x_network, float* x0_out, const T* pred, const ReverseCoefficients* table,
                                SampleCounter counter, int64_t pixels, int c) {
  const int64_t row = pixels * c;
  const int64_t blocks = quad_blocks(row), image = blockIdx.x / blocks;
  const SampleDraws draws = sample_draws(counter, image);
  const ReverseCoefficients k = table[counter.step ? *counter.step : 0];
  const bool noisy = k.noise_std != 0.0f, learned = k.learned_variance != 0.0f;
  const T* prediction = pred + image * row * (learned ? 2 : 1);

  for_quads(row, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    Normal4 z = {};
    if (noisy) z = quad_normals(draws, quad, purpose_word(Purpose::ReverseNoise));
    for (int j = 0; j < width; ++j) {
      const int64_t e = 4 * quad + j, at = image * row + e;
      // With learned variance a pixel is 2C wide: the prediction, then v.
      const int64_t from =
          learned ? e + static_cast<int64_t>(static_cast<uint32_t>(e) / static_cast<uint32_t>(c)) * c : e;
      const float state = x[at], network = to_float(prediction[from]);
      float x0 = fmaf(k.x0_from_pred, network, k.x0_from_x * state);
      if (k.clip > 0.0f) x0 = clip_to(x0, k.clip);
      const float eps = k.eps_from_clipped != 0.0f ? fmaf(k.eps_clip_x0, x0, k.eps_clip_x * state)
                                                   : fmaf(k.eps_from_pred, network, k.eps_from_x * state);
      float next = fmaf(k.mean_eps, eps, fmaf(k.mean_x0, x0, k.mean_x * state));
      if (noisy) {
        float std = k.noise_std;
        if (learned) {
          const float f = 0.5f * (to_float(prediction[from + c]) + 1.0f);
          std = fast_exp(0.5f * fmaf(f, k.log_beta, (1.0f - f) * k.log_beta_tilde));
        }
        next = fmaf(std, z.v[j], next);
      }
      x[at] = next;
      if (x_network) x_network[at] = from_float<T>(next);
      if (x0_out) x0_out[at] = x0;
    }
  });
}

DEVICE void set_timestep_item(int64_t i, float* t, const ReverseCoefficients* table, const int64_t* step) {
  t[i] = table[*step].timestep;
}

DEVICE void advance_step_item(int64_t, int64_t* step, int64_t* total, int64_t* total_on_host) {
  *step += 1;
  if (total) *total_on_host = *total += 1;
}

}  // namespace

void set_timesteps(Stream& stream, float* t, const ReverseCoefficients* table, const int64_t* step, int n) {
  ITO_CHECK(t && table && step, "set_timesteps: t, the table or the step is null");
  for_each<set_timestep_item>("set_timesteps", n, stream, t, table, step);
}

void reverse_step(Stream& stream, float* x, DataRef x_network, float* x0_out, ConstDataRef pred,
                  const ReverseCoefficients* table, const SampleCounter& counter, int n, int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0 && int64_t{pixels} * c < int64_t{1} << 32, "reverse_step: N ", n, ", pixels ",
            pixels, ", C ", c, ", expected positive sizes and fewer than 2^32 elements an image");
  ITO_CHECK(!x_network || x_network.type == pred.type, "reverse_step: x_network is ", name_of(x_network.type),
            " and pred ", name_of(pred.type), ", expected one type");
  ITO_CHECK(!counter.step || counter.counter_uses_step,
            "reverse_step: the counter does not use its step, so every step would add the same noise");
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    launch<reverse_step_kernel<T>>("reverse_step", Dim3(n * quad_blocks(int64_t{pixels} * c)), kQuadThreads, 0, stream,
                                   x, x_network ? x_network.as<T>() : nullptr, x0_out, pred.as<T>(), table, counter,
                                   int64_t{pixels}, c);
  });
}

void advance_step(Stream& stream, int64_t* step, int64_t* total, int64_t* total_on_host) {
  for_each<advance_step_item>("advance_step", 1, stream, step, total, total_on_host);
}

}  // namespace ito
