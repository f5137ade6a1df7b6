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

// The first level whose threshold is above the bits; the last one's, 2^32, always is.
DEVICE uint32_t level_of_bits(uint32_t bits, const uint64_t* thresholds, int levels) {
  int low = 0, high = levels - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (thresholds[middle] > bits)
      high = middle;
    else
      low = middle + 1;
  }
  return static_cast<uint32_t>(low);
}

DEVICE void draw_level_item(int64_t image, ForwardRow* rows, const ForwardRow* table, int levels, LevelChances chances,
                            SampleCounter counter) {
  const SampleDraws draws = sample_draws(counter, image);
  const uint32_t bits = quad_bits(draws, 0, purpose_word(Purpose::Timestep)).v[0];
  const uint32_t level = chances.thresholds ? level_of_bits(bits, chances.thresholds, levels)
                                            : uniform_below(bits, static_cast<uint32_t>(levels));
  ForwardRow row = table[level];
  if (chances.scale) {
    row.scale = chances.scale[level];
    row.weight *= row.scale;
  }
  rows[image] = row;
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

void draw_levels(Stream& stream, ForwardRow* rows, const ForwardRow* table, int levels, const LevelChances& chances,
                 const SampleCounter& counter, int n) {
  ITO_CHECK(n >= 0 && levels > 0, "draw_levels: N ", n, ", levels ", levels, ", expected positive sizes");
  for_each<draw_level_item>("draw_levels", n, stream, rows, table, levels, chances, counter);
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
