// SPDX-License-Identifier: Apache-2.0
// Device side of SampleCounter: where image n's draws lie in the counter, and the walk over an image four elements at
// a time. Noising and the loss both take eps from here, so that the bits are the same and eps is never stored.
// Include after "dialect.h".
#pragma once
#include "kernels/random/philox.h"
#include "kernels/random/sample_counter.h"
#include "kernels/types.h"

namespace ito {

inline constexpr int kQuadThreads = 256;
inline constexpr int64_t kQuadsPerBlock = 1024;  // groups of four elements a block owns

// Blocks over an image of `image_size` elements, kQuadsPerBlock quads each; a launch has this many for every image.
constexpr int64_t quad_blocks(int64_t image_size) {
  return ceil_div(image_size, 4 * kQuadsPerBlock);
}

// The counter words of one image, resolved.
struct SampleDraws {
  uint64_t seed;
  uint32_t step, sample;
};

// The image's number among all, where numbers are consecutive.
DEVICE int64_t sample_number(const SampleCounter& counter, int64_t image) {
  const int64_t step = counter.step ? *counter.step : 0;
  const int64_t first = counter.first + (counter.first_on_device ? *counter.first_on_device : 0);
  return first + step * counter.samples_per_step + image;
}

DEVICE SampleDraws sample_draws(const SampleCounter& counter, int64_t image) {
  if (counter.words) return {counter.seed, 0, counter.words[image]};
  return {counter.seed, 0, static_cast<uint32_t>(sample_number(counter, image))};
}

// The 128 bits of elements 4 quad .. 4 quad + 3 of the image.
DEVICE Random4 quad_bits(const SampleDraws& draws, int64_t quad, uint32_t purpose) {
  return philox4x32(draws.seed, static_cast<uint32_t>(quad), draws.step, draws.sample, purpose);
}

DEVICE Normal4 quad_normals(const SampleDraws& draws, int64_t quad, uint32_t purpose) {
  return normal4(quad_bits(draws, quad, purpose));
}

// eps of training, of elements 4 quad .. 4 quad + 3.
DEVICE Normal4 sample_noise(const SampleDraws& draws, int64_t quad) {
  return quad_normals(draws, quad, purpose_word(Purpose::Noise));
}

// Calls f(quad, width) for the block's share of an image of `image_size` elements: width is the constant 4 but for a
// last, partial quad. `share` is the block's number within the image.
struct FullQuad {
  DEVICE constexpr operator int() const { return 4; }
};

template <class F>
DEVICE void for_quads(int64_t image_size, int64_t share, F&& f) {
  const int64_t begin = share * kQuadsPerBlock;
  const int64_t full = image_size / 4 - begin;  // whole quads from begin to the end of the image
  const int64_t count = full < kQuadsPerBlock ? full : kQuadsPerBlock;
  BLOCK_LOOP(q, count) f(begin + q, FullQuad{});
  if (full < kQuadsPerBlock && image_size % 4 != 0 && threadIdx.x == 0)
    f(image_size / 4, static_cast<int>(image_size % 4));
}

// Numbers that an item takes at once: a quad where the lanes of a warp lie side by side; where an item has a processor
// for itself, so many that what is decided once a group costs nothing and a group's values stay in the nearest cache.
inline constexpr int kGroupQuads = WARP == 1 ? 64 : 1, kGroupNumbers = 4 * kGroupQuads;

struct FullGroup {
  DEVICE constexpr operator int() const { return kGroupNumbers; }
};

// for_quads in groups: f(first quad, width), width the constant kGroupNumbers but for a last, shorter group.
template <class F>
DEVICE void for_groups(int64_t image_size, int64_t share, F&& f) {
  const int64_t begin = share * kQuadsPerBlock, left = image_size - 4 * begin;
  const int64_t numbers = left < 4 * kQuadsPerBlock ? left : 4 * kQuadsPerBlock;
  const int64_t groups = numbers / kGroupNumbers;
  BLOCK_LOOP(g, groups) f(begin + g * kGroupQuads, FullGroup{});
  if (numbers % kGroupNumbers != 0 && threadIdx.x == 0)
    f(begin + groups * kGroupQuads, static_cast<int>(numbers % kGroupNumbers));
}

}  // namespace ito
