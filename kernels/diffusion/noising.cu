// SPDX-License-Identifier: Apache-2.0
// The forward process in closed form by a row of coefficients (forward_row.h), the draw of those rows, and normals.
// Block = (image, 4096 elements), four elements a philox call. eps is not stored: the loss draws it again, which costs
// less than its traffic.
// Bytes an element: 4 read, 4 or 2 written (add_noise); 4 written (fill_normal).
#include "kernels/diffusion/noising.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

DEVICE void draw_level_item(int64_t image, ForwardRow* rows, const ForwardRow* table, int levels,
                            SampleCounter counter) {
  const SampleDraws draws = sample_draws(counter, image);
  const Random4 bits = quad_bits(draws, 0, purpose_word(Purpose::Timestep));
  rows[image] = table[uniform_below(bits.v[0], static_cast<uint32_t>(levels))];
}

template <class T>
KERNEL void add_noise_kernel(T* x_t, float* timestep, const float* x0, const ForwardRow* rows, SampleCounter counter,
                             int64_t image_size) {
  const int64_t blocks = quad_blocks(image_size), image = blockIdx.x / blocks, share = blockIdx.x % blocks;
  const SampleDraws draws = sample_draws(counter, image);
  const ForwardRow row = rows[image];
  if (timestep && share == 0 && threadIdx.x == 0) timestep[image] = row.timestep;
  for_quads(image_size, share, [&](int64_t quad, auto width) {
    const Normal4 eps = sample_noise(draws, quad);
    const int64_t at = image * image_size + 4 * quad;
    float x[4];
    for (int j = 0; j < width; ++j) x[j] = fmaf(row.x0, x0[at + j], row.eps * eps.v[j]);
    if (row.eps2 != 0) {
      const Normal4 eps2 = quad_normals(draws, quad, purpose_word(Purpose::SecondNoise));
      for (int j = 0; j < width; ++j) x[j] = fmaf(row.eps2, eps2.v[j], x[j]);
    }
    for (int j = 0; j < width; ++j) x_t[at + j] = from_float<T>(x[j]);
  });
}

KERNEL void fill_normal_kernel(float* out, SampleCounter counter, uint32_t purpose, int64_t image_size) {
  const int64_t blocks = quad_blocks(image_size), image = blockIdx.x / blocks;
  const SampleDraws draws = sample_draws(counter, image);
  for_quads(image_size, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const Normal4 z = quad_normals(draws, quad, purpose);
    for (int j = 0; j < width; ++j) out[image * image_size + 4 * quad + j] = z.v[j];
  });
}

}  // namespace

void draw_levels(Stream& stream, ForwardRow* rows, const ForwardRow* table, int levels, const SampleCounter& counter,
                 int n) {
  ITO_CHECK(n >= 0 && levels > 0, "draw_levels: N ", n, ", levels ", levels, ", expected positive sizes");
  for_each<draw_level_item>("draw_levels", n, stream, rows, table, levels, counter);
}

void add_noise(Stream& stream, DataRef x_t, float* timestep, const float* x0, const ForwardRow* rows,
               const SampleCounter& counter, int n, int64_t image_size) {
  ITO_CHECK(n >= 0 && image_size > 0, "add_noise: N ", n, ", image size ", image_size, ", expected positive sizes");
  by_type(x_t.type, [&](auto tag) {
    using T = decltype(tag);
    launch<add_noise_kernel<T>>("add_noise", Dim3(n * quad_blocks(image_size)), kQuadThreads, 0, stream, x_t.as<T>(),
                                timestep, x0, rows, counter, image_size);
  });
}

void fill_normal(Stream& stream, float* out, const SampleCounter& counter, uint32_t purpose, int n,
                 int64_t image_size) {
  ITO_CHECK(n >= 0 && image_size > 0, "fill_normal: N ", n, ", image size ", image_size, ", expected positive sizes");
  launch<fill_normal_kernel>("fill_normal", Dim3(n * quad_blocks(image_size)), kQuadThreads, 0, stream, out, counter,
                             purpose, image_size);
}

}  // namespace ito
