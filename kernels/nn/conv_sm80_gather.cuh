// SPDX-License-Identifier: Apache-2.0
// What the forward product and the data gradient share: rows of the product are pixels whose taps are gathered into
// shared memory, and results leave through shared memory in rows of 16 bytes.
// A tap (u, v) of the row with origin (h0, w0) is the source's pixel (h0 + u, w0 + v). A thread has one chunk of eight
// channels of a few rows; a row keeps the number of its origin's pixel and a bit a tap that says whether the tap is
// inside. No division in the loop: (tap, channel) advances by the step, without a branch. Include after "dialect.h".
#pragma once
#include "kernels/nn/conv_sm80.h"
#include "kernels/nn/conv_sm80_tiles.cuh"

namespace ito {

// Whole: channels are multiples of 8. Upsampled: so, and each pixel stands for four. Ragged: channels are any number,
// loaded one at a time.
enum class Gather { Whole, Upsampled, Ragged };

// Rows of the product: images of high x wide.
struct ConvRows {
  int rows = 0, high = 0, wide = 0;
  FastDivide by_wide, by_high;
  ConvRows() = default;
  ConvRows(int n, int high_, int wide_)
      : rows(n * high_ * wide_), high(high_), wide(wide_), by_wide(wide_), by_high(high_) {}
};

struct ConvPlace {
  int image, i, j;
};
DEVICE ConvPlace place_of(const ConvRows& rows, int row) {
  const int line = rows.by_wide(row), image = rows.by_high(line);
  return {image, line - image * rows.high, row - line * rows.wide};
}

// A row (i, j)'s origin is (step i + origin_h, step j + origin_w) of a plane of high x wide pixels.
struct ConvWindow {
  int taps_h, taps_w;
  int step, origin_h, origin_w;
  int high, wide;
};

struct ConvSources {
  const bf16 *x = nullptr, *x1 = nullptr;  // channels [0, first_c) and [first_c, c)
  int c = 0, first_c = 0, padded_c = 0;
  const bf16 *shortcut = nullptr, *shortcut1 = nullptr;
  int shortcut_c = 0, shortcut_first_c = 0;
};

template <class Tile, Gather kGather>
class GatheredRows {
  using Share = TileShare<Tile::kM, Tile::kK, Tile::kThreads>;

 public:
  DEVICE GatheredRows(const ConvSources& from, const ConvWindow& window, const ConvRows& rows, int first_row)
      : from_(from),
        taps_(window.taps_h * window.taps_w),
        taps_w_(window.taps_w),
        first_row_(first_row),
        at_(8 * Share::chunk(), from.padded_c, Tile::kK) {
    // Exact for the few taps there are.
    inverse_ = taps_w_ > 0 ? (65536 + taps_w_ - 1) / taps_w_ : 0;
    constexpr int kShift = kGather == Gather::Upsampled ? 1 : 0;
    wide_ = window.wide >> kShift;
    for (int own = 0; own < Share::kOwn; ++own) {
      const int row = first_row + Share::first() + own * Share::kPass;
      const ConvPlace at = place_of(rows, row);
      const int h0 = window.step * at.i + window.origin_h, w0 = window.step * at.j + window.origin_w;
      uint32_t inside = from.shortcut ? 1u << taps_ : 0u;
      for (int u = 0; u < window.taps_h; ++u)
        for (int v = 0; v < taps_w_; ++v)
          if (h0 + u >= 0 && h0 + u < window.high && w0 + v >= 0 && w0 + v < window.wide)
            inside |= 1u << (u * taps_w_ + v);
      inside_[own] = row < rows.rows ? inside : 0u;
      const int plane = at.image * (window.high >> kShift);
      if constexpr (kGather == Gather::Upsampled) {
        pixel_[own] = plane * wide_;
        origin_h_[own] = h0;
        origin_w_[own] = w0;
      } else {
        pixel_[own] = (plane + h0) * wide_ + w0;
      }
    }
  }

  // Copies of this step's rows, and on to the next step.
  DEVICE void load(bf16* tile) {
    const bool cut = at_.tap() >= taps_;
    const int tap = cut ? taps_ : at_.tap(), c = cut ? (at_.tap() - taps_) * from_.padded_c + at_.c() : at_.c();
    const int all = cut ? from_.shortcut_c : from_.c, first_c = cut ? from_.shortcut_first_c : from_.first_c;
    const bool second = c >= first_c && first_c < all, there = c < all;
    const bf16* source = cut ? (second ? from_.shortcut1 : from_.shortcut) : (second ? from_.x1 : from_.x);
    const int width = second ? all - first_c : first_c, bytes = width * 2;
    source += there ? (second ? c - first_c : c) : 0;
    const int u = tap * inverse_ >> 16, v = tap - u * taps_w_;
    for (int own = 0; own < Share::kOwn; ++own) {
      const bool inside = there && (inside_[own] >> tap & 1u) != 0;
      int pixel;
      if constexpr (kGather == Gather::Upsampled)
        pixel = pixel_[own] + ((origin_h_[own] + u) >> 1) * wide_ + ((origin_w_[own] + v) >> 1);
      else
        pixel = pixel_[own] + u * wide_ + v;
      if (cut) pixel = first_row_ + Share::first() + own * Share::kPass;
      const bf16* from = row_at(source, inside ? pixel : 0, bytes);
      if constexpr (kGather == Gather::Ragged)
        gather8(tile + Share::place(own), from, inside ? all - c : 0);
      else
        cp_async16(tile + Share::place(own), from, inside);
    }
    at_.next();
  }

 private:
  const ConvSources& from_;
  int taps_, taps_w_, inverse_, wide_, first_row_;
  TapColumn at_;
  uint32_t inside_[Share::kOwn];  // a bit a tap; behind the taps, the shortcut's
  int pixel_[Share::kOwn];        // of the origin, which may lie outside; upsampled: of the image
  int origin_h_[kGather == Gather::Upsampled ? Share::kOwn : 1],
      origin_w_[kGather == Gather::Upsampled ? Share::kOwn : 1];
};

// Where results go: columns are the channels of one tensor, or of two side by side.
struct ConvStore {
  bf16 *y = nullptr, *y1 = nullptr;  // channels [0, first_c) and [first_c, c); null: not stored
  int c = 0, first_c = 0;
  const bf16 *add = nullptr, *add1 = nullptr;  // added in fp32: a residual, or the gradient that is there
  const float* bias = nullptr;
  const float* temb = nullptr;
  int64_t temb_stride = 0;
  float scale = 1.0f;
};

struct ConvColumn {
  bool second;
  int width, c;  // of the tensor it is in
};
DEVICE ConvColumn column_of(const ConvStore& store, int column) {
  const bool second = column >= store.first_c && store.first_c < store.c;
  return {second, second ? store.c - store.first_c : store.first_c, second ? column - store.first_c : column};
}

// Rounds the block's accumulators into the tile (kM, kPitch) in shared memory. pixel[row] is where the row goes, -1 for
// nowhere; image[row] its image. One image in a tile or several: the bias and the embedding are added first, so that
// the bits are the same.
template <class Tile>
DEVICE void round_results(bf16* tile, const float (&acc)[Tile::kMT][Tile::kNT][4], const ConvStore& store,
                          const int* pixel, const int* image, int first_column) {
  constexpr int kChunks = Tile::kN / 8;
  const bool adds = store.add || store.add1, whole = store.c % 8 == 0 && store.first_c % 8 == 0;
  if (adds) {
    for (int item = static_cast<int>(threadIdx.x); item < Tile::kM * kChunks; item += Tile::kThreads) {
      const int row = item / kChunks, column = first_column + item % kChunks * 8;
      const ConvColumn at = column_of(store, column);
      const bf16* from = at.second ? store.add1 : store.add;
      bf16* to = tile + row * Tile::kPitch + item % kChunks * 8;
      const bool there = pixel[row] >= 0 && column < store.c && from;
      const int64_t offset = there ? int64_t{pixel[row]} * at.width + at.c : 0;
      if (whole)
        cp_async16(to, from + offset, there);
      else
        gather8(to, from + offset, there ? store.c - column : 0);
    }
    cp_async_commit();
    cp_async_wait<0>();
    block_sync();
  }
  const int first_image = image[0];
  const bool one_image = first_image == image[Tile::kM - 1];
  const float* temb = store.temb && one_image ? store.temb + first_image * store.temb_stride : nullptr;
  const int l = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int row0 = warp / Tile::kAcross * Tile::kWarpM + (l >> 2);
  const int column0 = warp % Tile::kAcross * Tile::kWarpN + 2 * (l & 3);
  unrolled<Tile::kNT>([&](auto n) {
    const int column = column0 + 8 * n;
    float bias[2], more[2];
    for (int i = 0; i < 2; ++i) {
      const int k = first_column + column + i;
      bias[i] = store.bias && k < store.c ? store.bias[k] : 0.0f;
      more[i] = temb && k < store.c ? bias[i] + temb[k] : bias[i];
    }
    unrolled<2 * Tile::kMT>([&](auto eight) {
      constexpr int kTile = eight / 2, kHalf = eight % 2;
      const int row = row0 + 8 * eight;
      if (store.temb && !one_image) {
        for (int i = 0; i < 2; ++i) {
          const int k = first_column + column + i;
          if (k < store.c) more[i] = bias[i] + store.temb[image[row] * store.temb_stride + k];
        }
      }
      bf16* to = tile + row * Tile::kPitch + column;
      Packed<bf16, 2> pair = {};
      if (adds) pair = Packed<bf16, 2>::load(to);
      for (int i = 0; i < 2; ++i) {
        float value = acc[kTile][n][2 * kHalf + i] + more[i];
        if (adds) value += to_float(pair[i]);
        pair[i] = from_float<bf16>(value * store.scale);
      }
      pair.store(to);
    });
  });
  block_sync();
}

// Mean and summed squared distance of the rounded tile's columns over each run of `run` rows, from row 0 on: moments
// (runs, columns, 2) from run `first` on. Strips of 16 rows about their own mean, joined in order (Chan, Golub and
// LeVeque 1983), so that a large mean costs no digits. Scratch lies behind the tile.
inline constexpr int kMomentStrip = 16;
template <class Tile>
DEVICE void store_moments(float* moments, bf16* tile, int run, int first, int runs, int first_column, int columns) {
  constexpr int kStrips = Tile::kM / kMomentStrip;
  static_assert(2 * Tile::kM * Tile::kPitch + 8 * kStrips * Tile::kN <= Tile::kSharedBytes);
  float* strips = reinterpret_cast<float*>(tile + Tile::kM * Tile::kPitch);
  BLOCK_LOOP(item, kStrips * Tile::kN) {
    const int strip = static_cast<int>(item) / Tile::kN, column = static_cast<int>(item) % Tile::kN;
    const bf16* at = tile + strip * kMomentStrip * Tile::kPitch + column;
    float mean = 0.0f, squares = 0.0f;
    for (int i = 0; i < kMomentStrip; ++i) mean += to_float(at[i * Tile::kPitch]);
    mean *= 1.0f / kMomentStrip;
    for (int i = 0; i < kMomentStrip; ++i) {
      const float d = to_float(at[i * Tile::kPitch]) - mean;
      squares = fmaf(d, d, squares);
    }
    strips[2 * item] = mean;
    strips[2 * item + 1] = squares;
  }
  block_sync();
  const int count = run / kMomentStrip;
  BLOCK_LOOP(item, Tile::kM / run * Tile::kN) {
    const int of = static_cast<int>(item) / Tile::kN, column = static_cast<int>(item) % Tile::kN;
    const float* strip = strips + 2 * (of * count * Tile::kN + column);
    float mean = strip[0], squares = strip[1];
    for (int i = 1; i < count; ++i) {
      strip += 2 * Tile::kN;
      const float d = strip[0] - mean, part = 1.0f / static_cast<float>(i + 1);
      mean = fmaf(d, part, mean);
      squares += strip[1] + d * d * (static_cast<float>(i * kMomentStrip) * part);
    }
    if (first + of < runs && first_column + column < columns) {
      float* to = moments + (int64_t{first + of} * columns + first_column + column) * 2;
      to[0] = mean;
      to[1] = squares;
    }
  }
}

// The rounded tile to where it goes.
template <class Tile>
DEVICE void store_results(const bf16* tile, const ConvStore& store, const int* pixel, int first_column) {
  constexpr int kChunks = Tile::kN / 8;
  const bool whole = store.c % 8 == 0 && store.first_c % 8 == 0;
  for (int item = static_cast<int>(threadIdx.x); item < Tile::kM * kChunks; item += Tile::kThreads) {
    const int row = item / kChunks, column = first_column + item % kChunks * 8;
    const ConvColumn at = column_of(store, column);
    bf16* to = at.second ? store.y1 : store.y;
    if (pixel[row] < 0 || column >= store.c || !to) continue;
    to += int64_t{pixel[row]} * at.width + at.c;
    const auto values = Packed<bf16, 8>::load(tile + row * Tile::kPitch + item % kChunks * 8);
    if (whole) {
      values.store(to);
    } else {
      for (int i = 0; i < 8; ++i)
        if (column + i < store.c) to[i] = values[i];
    }
  }
}

}  // namespace ito
