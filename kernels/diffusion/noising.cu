// SPDX-License-Identifier: Apache-2.0
// The forward process in closed form (Ho et al. 2020, eq. 4), the draw of t, and plain normals.
//   x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps,  eps = sample_noise(counter), four elements a philox call
// Block = (image, 4096 elements). eps is not stored: the loss draws it again, which costs less than its traffic.
// Bytes an element: 4 read, 4 or 2 written (add_noise); 4 written (fill_normal).
#include "kernels/diffusion/noising.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

DEVICE void draw_timestep_item(int64_t image, int32_t* t, float* t_float, SampleCounter counter, int steps) {
  const SampleDraws draws = sample_draws(counter, image);
  const Random4 bits = quad_bits(draws, 0, purpose_word(Purpose::Timestep));
  const int32_t drawn = static_cast<int32_t>(uniform_below(bits.v[0], static_cast<uint32_t>(steps)));
  t[image] = drawn;
  if (t_float) t_float[image] = static_cast<float>(drawn);
}

template <class T>
KERNEL void add_noise_kernel(T* x_t, const float* x0, const int32_t* t, SampleCounter counter, NoiseTables tables,
                             int64_t row) {
  const int64_t blocks = quad_blocks(row), image = blockIdx.x / blocks;
  const SampleDraws draws = sample_draws(counter, image);
  const float signal = tables.sqrt_abar[t[image]], noise = tables.sqrt_one_minus_abar[t[image]];
  for_quads(row, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const Normal4 eps = sample_noise(draws, quad);
    const int64_t at = image * row + 4 * quad;
    for (int j = 0; j < width; ++j) x_t[at + j] = from_float<T>(fmaf(signal, x0[at + j], noise * eps.v[j]));
  });
}

KERNEL void fill_normal_kernel(float* out, SampleCounter counter, uint32_t purpose, int64_t row) {
  const int64_t blocks = quad_blocks(row), image = blockIdx.x / blocks;
  const SampleDraws draws = sample_draws(counter, image);
  for_quads(row, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const Normal4 z = quad_normals(draws, quad, purpose);
    for (int j = 0; j < width; ++j) out[image * row + 4 * quad + j] = z.v[j];
  });
}

}  // namespace

void draw_timesteps(Stream& stream, int32_t* t, float* t_float, const SampleCounter& counter, int n, int steps) {
  ITO_CHECK(n >= 0 && steps > 0, "draw_timesteps: N ", n, ", T ", steps, ", expected positive sizes");
  for_each<draw_timestep_item>("draw_timesteps", n, stream, t, t_float, counter, steps);
}

void add_noise(Stream& stream, DataRef x_t, const float* x0, const int32_t* t, const SampleCounter& counter,
               const NoiseTables& tables, int n, int64_t row) {
  ITO_CHECK(n >= 0 && row > 0, "add_noise: N ", n, ", row ", row, ", expected positive sizes");
  ITO_CHECK(tables.sqrt_abar && tables.sqrt_one_minus_abar && tables.steps > 0,
            "add_noise: the noise tables are not set (T = ", tables.steps, ")");
  by_type(x_t.type, [&](auto tag) {
    using T = decltype(tag);
    launch<add_noise_kernel<T>>("add_noise", Dim3(n * quad_blocks(row)), kQuadThreads, 0, stream, x_t.as<T>(), x0, t,
                                counter, tables, row);
  });
}

void fill_normal(Stream& stream, float* out, const SampleCounter& counter, uint32_t purpose, int n, int64_t row) {
  ITO_CHECK(n >= 0 && row > 0, "fill_normal: N ", n, ", row ", row, ", expected positive sizes");
  launch<fill_normal_kernel>("fill_normal", Dim3(n * quad_blocks(row)), kQuadThreads, 0, stream, out, counter, purpose,
                             row);
}

}  // namespace ito
