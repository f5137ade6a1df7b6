// SPDX-License-Identifier: Apache-2.0
// Which tile a layer's products take, and what the three launchers ask of a shape: host code. A tile is chosen by the
// layer's shape alone, so that bits do not know the batch.
#pragma once
#include "kernels/nn/conv_sm80.h"
#include "kernels/nn/conv_sm80_gather.cuh"

namespace ito {

// 64 x 64 warp tiles read the least shared memory a product; two blocks fit a processor. Few columns, or images so
// small that wide tiles would leave most processors idle, take the others.
using ConvWideTile = MmaTile<128, 128, 32, 2, 2, 4>;
using ConvMiddleTile = MmaTile<128, 96, 32, 2, 2, 4>;  // 192 channels in two tiles without a rest
using ConvSquareTile = MmaTile<64, 64, 64, 2, 2, 4>;
using ConvNarrowTile = MmaTile<128, 16, 32, 4, 1, 4>;

// Weight gradient: rows are output channels, columns (tap, channel), the inner dimension pixels.
using ConvWeightWideTile = MmaTile<128, 128, 32, 2, 2, 4>;
using ConvWeightMiddleTile = MmaTile<96, 128, 32, 2, 2, 4>;  // 192 output channels likewise
using ConvWeightSquareTile = MmaTile<64, 64, 32, 2, 2, 4>;
using ConvWeightNarrowTile = MmaTile<16, 128, 32, 1, 4, 4>;

inline constexpr int kSmallImage = 32;  // pixels

inline bool small_columns(int columns, int pixels) {
  return columns <= 64 || pixels <= kSmallImage;
}
// Whether 96 of so many channels a tile leave less of the last one empty; a smaller tile moves more bytes a product.
inline bool middle_channels(int channels) {
  return 11 * ceil_div(channels, 96) * 96 < 10 * ceil_div(channels, 128) * 128;
}
template <class F>
void by_forward_tile(const ConvShape& c, F&& f) {
  if (c.k <= 16)
    f(ConvNarrowTile{});
  else if (small_columns(c.k, c.out_h() * c.out_w()))
    f(ConvSquareTile{});
  else if (middle_channels(c.k))
    f(ConvMiddleTile{});
  else
    f(ConvWideTile{});
}
template <class F>
void by_data_tile(const ConvShape& c, F&& f) {
  if (c.c <= 16)
    f(ConvNarrowTile{});
  else if (small_columns(c.c, c.h * c.w))
    f(ConvSquareTile{});
  else if (middle_channels(c.c))
    f(ConvMiddleTile{});
  else
    f(ConvWideTile{});
}
template <class F>
void by_weight_tile(const ConvShape& c, F&& f) {
  if (c.k <= 16)
    f(ConvWeightNarrowTile{});
  else if (c.k <= 64)
    f(ConvWeightSquareTile{});
  else if (middle_channels(c.k))
    f(ConvWeightMiddleTile{});
  else
    f(ConvWeightWideTile{});
}

inline int padded8(int channels) {
  return static_cast<int>(ceil_div(channels, 8) * 8);
}
// Columns of the packed filters: the taps', then the shortcut's.
inline int filter_columns(const ConvSm80Shape& s) {
  return s.conv.r * s.conv.s * padded8(s.conv.c);
}
inline int inner_of(const ConvSm80Shape& s) {
  return filter_columns(s) + s.shortcut_c;
}

inline void check_conv_sm80(const char* kernel, const ConvSm80Shape& shape, int n) {
  const char* refusal = conv_sm80_refusal(shape);
  ITO_CHECK(!refusal, kernel, ": ", refusal);
  const ConvShape& c = shape.conv;
  const int64_t most = int64_t{1} << 30;
  ITO_CHECK(int64_t{1} * (c.k + 128) * inner_of(shape) < most, kernel, ": ", c.weights(),
            " weights, expected at most 2^30");
  ITO_CHECK(n >= 0 && int64_t{1} * n * (c.h + c.stride) * (c.w + c.stride) < most &&
                int64_t{1} * n * c.out_h() * c.out_w() < most,
            kernel, ": ", n, " images of ", c.h, "x", c.w, ", expected at most 2^30 pixels; take fewer images a pass");
}

inline ConvSources sources_of(const ConvSm80Shape& shape, const ConvSm80Input& input) {
  ConvSources from;
  from.x = input.x;
  from.x1 = input.x1;
  from.c = shape.conv.c;
  from.first_c = shape.first_c ? shape.first_c : from.c;
  from.padded_c = padded8(from.c);
  from.shortcut = shape.shortcut_c ? input.shortcut : nullptr;
  from.shortcut1 = input.shortcut1;
  from.shortcut_c = shape.shortcut_c;
  from.shortcut_first_c = shape.shortcut_first_c ? shape.shortcut_first_c : shape.shortcut_c;
  ITO_CHECK(input.x && (from.first_c == from.c || input.x1) && (!shape.shortcut_c || input.shortcut) &&
                (from.shortcut_first_c == from.shortcut_c || input.shortcut1),
            "conv_sm80: an input that the shape names is null");
  return from;
}

}  // namespace ito
