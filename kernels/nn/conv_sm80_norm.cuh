// SPDX-License-Identifier: Apache-2.0
// The end of a data gradient whose convolution reads h = silu(z), z = (x + offset) scale + shift being a GroupNorm's
// result. With dh the gradient by h, still in fp32, and d = x + offset:
//   dz = dh silu'(z), rounded once; of each channel over a row of pixels sum dz, sum dz d and sum d
// The norm's backward begins with these sums (group_norm_backward.cu); they are of the rounded dz, which it reads next.
// The cut: results cross shared memory in fp32, so that a thread has eight channels of several pixels. x and dz are 16
// bytes an access, the loads of four pixels are on their way, and the code is a loop: with an exponential in line for
// each accumulator it was 9,128 instructions in place of 3,560.
// Order of a sum: a thread's pixels, then the threads. Images that begin within a tile are cut alike.
// Bytes an element: x read and dz written, 4. Without it dh is written, and dh and x are read by a kernel for the sums:
// 6. Besides, 12 a channel and row, and silu' computed once where it was twice.
// Refused: x staged in shared memory, where there is no room beside fp32; shuffles, three steps for every sum.
// Include after "dialect.h".
#pragma once
#include "kernels/nn/conv_sm80_gather.cuh"

namespace ito {

struct ConvNorm {
  const bf16 *x = nullptr, *x1 = nullptr;  // channels [0, first_c) and [first_c, c) of the norm's input
  const float* chain = nullptr;            // (N, 3, C)
  float* sums = nullptr;                   // (N rows, 3, C)
  int c = 0, first_c = 0;
  int run = 0, runs = 0, rows = 0;  // pixels of a row, rows of all images, and of one
  bool silu = true;
};

// A thread has a chunk of eight columns and the rows group, group + kGroups, ... of each run; of tiles of 96 columns
// the last 32 have none.
template <class Tile>
struct NormShare {
  static constexpr int kChunks = Tile::kN / 8, kGroups = Tile::kThreads / kChunks < 16 ? 8 : 16;
  static constexpr int kSums = 3 * kGroups * Tile::kN;  // floats: of a run, [sum][group][column]
  // They lie behind the results where shared memory has room, else upon the run's own, which are then in no more need.
  static constexpr bool kBehind = 4 * (Tile::kM * Tile::kN + Tile::kM / 16 * kSums) <= Tile::kSharedBytes;
  static constexpr int kLeast = kBehind ? 16 : 32;  // rows of a run
  static_assert(kGroups <= Tile::kThreads / kChunks && 4 * Tile::kM * Tile::kN <= Tile::kSharedBytes);
  static_assert(kBehind || kSums <= kLeast * Tile::kN);
  DEVICE static int chunk() { return static_cast<int>(threadIdx.x % kChunks); }
  DEVICE static int group() { return static_cast<int>(threadIdx.x / kChunks); }
  DEVICE static float* sums(float* results, int run, int of) {
    return results + (kBehind ? Tile::kM * Tile::kN + of * kSums : of * run * Tile::kN);
  }
};

// Where columns 4 chunk, ... of a row of fp32 results lie: neither what the accumulators store nor reads of eight
// columns meet a bank twice (of 96 columns, where eight threads read of two rows, some do).
template <class Tile>
DEVICE int norm_place(int row, int chunk) {
  return row * Tile::kN + 4 * ((chunk & ~7) + ((chunk ^ 2 * row ^ chunk >> 3) & 7));
}

// Pixels of a row if images of so many pixels are cut alike wherever they stand in a batch, else 0.
template <class Tile>
constexpr int norm_row_pixels(int pixels) {
  if (pixels % Tile::kM == 0) return Tile::kM;
  return Tile::kM % pixels == 0 && pixels >= NormShare<Tile>::kLeast ? pixels : 0;
}

// The block's results to dz, and their sums to where they go; first_row is the tile's first pixel.
template <class Tile>
DEVICE void store_norm_results(bf16* dz, float* results, const float (&acc)[Tile::kMT][Tile::kNT][4],
                               const ConvNorm& norm, int first_row, int first_column) {
  using Share = NormShare<Tile>;
  constexpr int kBatch = 4;  // pixels of a thread on their way at a time
  const int l = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int row0 = warp / Tile::kAcross * Tile::kWarpM + (l >> 2);
  const int column0 = warp % Tile::kAcross * Tile::kWarpN + 2 * (l & 3);
  unrolled<Tile::kNT>([&](auto n) {
    const int column = column0 + 8 * n;
    float* to = results + norm_place<Tile>(row0, column / 4) + column % 4;
    unrolled<2 * Tile::kMT>([&](auto eight) {
      constexpr int kTile = eight / 2, kHalf = eight % 2;
      const Packed<float, 2> pair = {acc[kTile][n][2 * kHalf], acc[kTile][n][2 * kHalf + 1]};
      pair.store(to + 8 * eight * Tile::kN);
    });
  });
  block_sync();

  const int run = norm.run, first = first_row / run, column = first_column + 8 * Share::chunk();
  const bool second = column >= norm.first_c && norm.first_c < norm.c, has_rows = Share::group() < Share::kGroups;
  const int width = second ? norm.c - norm.first_c : norm.first_c;
  const bf16* x = (second ? norm.x1 : norm.x) + (second ? column - norm.first_c : column);
  for (int of = 0; of * run < Tile::kM; ++of) {
    float sum_dz[8] = {}, sum_dz_d[8] = {}, sum_d[8] = {};
    if (has_rows && column < norm.c && first + of < norm.runs) {
      const float* chain = norm.chain + int64_t{3} * ((first + of) / norm.rows) * norm.c + column;
      float offset[8], scale[8], shift[8];
      load_floats(offset, chain);
      load_floats(scale, chain + norm.c);
      load_floats(shift, chain + 2 * norm.c);
      const int end = (of + 1) * run;
      for (int r0 = of * run + Share::group(); r0 < end; r0 += kBatch * Share::kGroups) {
        Packed<bf16, 8> in[kBatch];
        FRAGMENT_LOOP(u, kBatch) {
          const int row = r0 + u * Share::kGroups;
          if (row < end) in[u] = Packed<bf16, 8>::load(x + int64_t{first_row + row} * width);
        }
        FRAGMENT_LOOP(u, kBatch) {
          const int row = r0 + u * Share::kGroups;
          if (row < end) {
            const auto low = Packed<float, 4>::load(results + norm_place<Tile>(row, 2 * Share::chunk()));
            const auto high = Packed<float, 4>::load(results + norm_place<Tile>(row, 2 * Share::chunk() + 1));
            Packed<bf16, 8> out;
            for_lanes<8>([&](int v) {
              const float d = to_float(in[u][v]) + offset[v], dh = v < 4 ? low[v % 4] : high[v % 4];
              out[v] = from_float<bf16>(norm.silu ? dh * silu_gradient(fmaf(d, scale[v], shift[v])) : dh);
              const float rounded = to_float(out[v]);
              sum_dz[v] += rounded;
              sum_dz_d[v] = fmaf(rounded, d, sum_dz_d[v]);
              sum_d[v] += d;
            });
            out.store(dz + int64_t{first_row + row} * norm.c + column);
          }
        }
      }
    }
    if constexpr (!Share::kBehind) block_sync();
    if (has_rows) {
      float* to = Share::sums(results, run, of) + Share::group() * Tile::kN + 8 * Share::chunk();
      store_floats(to, sum_dz);
      store_floats(to + Share::kGroups * Tile::kN, sum_dz_d);
      store_floats(to + 2 * Share::kGroups * Tile::kN, sum_d);
    }
  }
  block_sync();

  BLOCK_LOOP(item, Tile::kM / run * 3 * Tile::kN) {
    const int j = static_cast<int>(item) % Tile::kN, sum = static_cast<int>(item) / Tile::kN % 3;
    const int of = static_cast<int>(item) / (3 * Tile::kN);
    const float* from = Share::sums(results, run, of) + sum * Share::kGroups * Tile::kN + j;
    float total = from[0];
    for (int i = 1; i < Share::kGroups; ++i) total += from[i * Tile::kN];
    if (first + of < norm.runs && first_column + j < norm.c)
      norm.sums[(int64_t{3} * (first + of) + sum) * norm.c + first_column + j] = total;
  }
}

}  // namespace ito
