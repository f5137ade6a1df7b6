// SPDX-License-Identifier: Apache-2.0
// Pieces of the tensor-core attention: tiles of a head's rows in shared memory, products of tiles in fragments of
// mma m16n8k16, and the step from a product's result to the next product's operand without leaving registers.
// A block owns rows (queries, or keys in the key pass of the backward) and walks tiles of the other kind through a ring
// of two stages. A warp owns 16 * MT of the rows and every column, so that a row's maximum and sum stay in four lanes.
// Chunks of 16 bytes are permuted within a row by its number: neither ldmatrix nor the copies of eight lanes meet a
// bank twice.
// Included after "dialect.h".
#pragma once
#include "kernels/nn/attention_sm80.h"

namespace ito {

inline constexpr float kLog2E = 1.44269504f;
inline constexpr int kTileThreads = 128;  // four warps a block

// A result of 16 * MT rows and 16 columns: two blocks of eight columns beside each other, the operands of one
// ldmatrix_x4. Lane l holds rows l / 4 and l / 4 + 8 (elements 0, 1 and 2, 3) and columns 2 (l % 4) and one more.
template <int MT>
struct Fragment {
  float c[MT][2][4];
};

// 2^x for x <= 127, relative error below 2^-22; 0 below -126.5, NaN for NaN. Minimax polynomial of degree 5 for
// |r| <= 1/2 with constant term 1 (error 2^-23.4): half the work of fast_exp, and the same bits in every build.
DEVICE float exp2_below(float x) {
  const float clamped = x < -127.0f ? -127.0f : x;
  const float shifted = clamped + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest integer, which its low bits hold
  const float r = clamped - (shifted - 12582912.0f);
  float p = fmaf(1.32647390e-3f, r, 9.67151672e-3f);
  p = fmaf(p, r, 5.55073358e-2f);
  p = fmaf(p, r, 2.40222424e-1f);
  p = fmaf(p, r, 6.93147004e-1f);
  p = fmaf(p, r, 1.0f);
  const uint32_t power = (static_cast<uint32_t>(bits_from_float(shifted)) << 23) + 0x3F800000u;  // 0 for 2^-127
  return p * float_from_bits(static_cast<int32_t>(power));
}

// Where chunk `chunk` of row `row` lies in a tile of WIDTH elements a row.
template <int WIDTH>
DEVICE int head_place(int row, int chunk) {
  static_assert(WIDTH % 32 == 0);
  if constexpr (WIDTH % 64 == 0)
    return row * WIDTH + ((chunk & ~7) + ((chunk ^ row) & 7)) * 8;
  else
    return row * WIDTH + ((chunk & ~3) + ((chunk ^ (row >> 1)) & 3)) * 8;
}

// From the place of a lane's chunk 0 or 1 to an even number of chunks along the row: the permutation is an exclusive
// or, so that one address serves a whole row, and rows 16 apart are a constant apart.
template <int WIDTH>
DEVICE int chunks_along(int place, int chunks) {
  constexpr int kPermuted = WIDTH % 64 == 0 ? 8 : 4;
  return (place ^ (chunks % kPermuted * 8)) + chunks / kPermuted * kPermuted * 8;
}

// A thread's share of a tile: one column of chunks and every kPass-th row.
template <int WIDTH, int ROWS>
struct HeadTileShare {
  static constexpr int kChunks = WIDTH / 8, kPass = kTileThreads / kChunks, kPasses = ROWS / kPass;
  static_assert(kTileThreads % kChunks == 0 && ROWS % kPass == 0);
  int row = static_cast<int>(threadIdx.x) / kChunks, chunk = static_cast<int>(threadIdx.x) % kChunks;
};

// Rows first to first + ROWS of a head into a tile, without waiting: 0 behind the tokens and behind the head's width.
template <int WIDTH, int ROWS>
DEVICE void copy_rows(bf16* tile, const bf16* head, int distance, int first, int tokens, int width) {
  using Share = HeadTileShare<WIDTH, ROWS>;
  const Share own;
  const int rows = own.chunk * 8 < width ? tokens - first - own.row : 0;  // that are there, from the thread's first
  const bf16* from = head + int64_t{1} * (first + own.row) * distance + own.chunk * 8;
  FRAGMENT_LOOP(pass, Share::kPasses) {
    cp_async16(tile + head_place<WIDTH>(own.row + pass * Share::kPass, own.chunk), from, pass * Share::kPass < rows);
    from += int64_t{1} * Share::kPass * distance;  // one address in registers
  }
}

// The tile's rows below `tokens` back to a head's rows.
template <int WIDTH, int ROWS>
DEVICE void store_rows(bf16* head, const bf16* tile, int distance, int first, int tokens, int width) {
  using Share = HeadTileShare<WIDTH, ROWS>;
  const Share own;
  FRAGMENT_LOOP(pass, Share::kPasses) {
    const int row = own.row + pass * Share::kPass;
    if (first + row < tokens && own.chunk * 8 < width)
      Packed<bf16, 8>::load(tile + head_place<WIDTH>(row, own.chunk))
          .store(head + int64_t{1} * (first + row) * distance + own.chunk * 8);
  }
}

// The warp's results, row i of them times factor[i / 8], rounded into rows first_row... of a tile.
template <int WIDTH, int MT>
DEVICE void round_rows(bf16* tile, int first_row, const Fragment<MT> (&acc)[WIDTH / 16],
                       const float (&factor)[2 * MT]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  FRAGMENT_LOOP(n, WIDTH / 16) {
    FRAGMENT_LOOP(m, MT) {
      FRAGMENT_LOOP(i, 4) {  // i / 2: which eight columns, i % 2: which eight rows
        const int row = first_row + 16 * m + 8 * (i % 2) + lane / 4;
        const float* c = acc[n].c[m][i / 2] + 2 * (i % 2);
        Packed<uint32_t, 1> pair;
        pair[0] = bf16_pair(c[0] * factor[2 * m + i % 2], c[1] * factor[2 * m + i % 2]);
        pair.store(reinterpret_cast<uint32_t*>(tile + head_place<WIDTH>(row, 2 * n + i / 2) + 2 * (lane % 4)));
      }
    }
  }
}

template <int COUNT, int MT>
DEVICE void set_zero(Fragment<MT> (&acc)[COUNT]) {
  FRAGMENT_LOOP(n, COUNT) FRAGMENT_LOOP(m, MT) FRAGMENT_LOOP(i, 4) acc[n].c[m][0][i] = acc[n].c[m][1][i] = 0.0f;
}

// acc = a b^T: rows first_row... of tile a by all 16 * COUNT rows of tile b, summed over WIDTH in steps of 16.
template <int WIDTH, int COUNT, int MT>
DEVICE void multiply_rows(Fragment<MT> (&acc)[COUNT], const bf16* a, int first_row, const bf16* b) {
  const int l = static_cast<int>(threadIdx.x) % 32;
  const int at_a = head_place<WIDTH>(first_row + (l & 15), l >> 4);
  const int at_b = head_place<WIDTH>((l & 7) + 8 * (l >> 4), (l >> 3) & 1);
  set_zero(acc);
  FRAGMENT_LOOP(k, WIDTH / 16) {
    uint32_t left[MT][4];
    FRAGMENT_LOOP(m, MT) ldmatrix_x4(left[m], a + chunks_along<WIDTH>(at_a, 2 * k) + 16 * m * WIDTH);
    FRAGMENT_LOOP(n, COUNT) {
      uint32_t right[2][2];
      ldmatrix_x4(&right[0][0], b + chunks_along<WIDTH>(at_b, 2 * k) + 16 * n * WIDTH);
      mma_tile(acc[n].c, left, right);
    }
  }
}

// acc += p b: p of 16 * COUNT columns, rounded to bf16, by as many rows of tile b. The columns of a result are the
// inner index of an operand in the same lanes.
template <int WIDTH, int COUNT, int MT>
DEVICE void multiply_add(Fragment<MT> (&acc)[WIDTH / 16], const Fragment<MT> (&p)[COUNT], const bf16* b) {
  const int l = static_cast<int>(threadIdx.x) % 32;
  const int at_b = head_place<WIDTH>((l & 7) + 8 * ((l >> 3) & 1), l >> 4);
  FRAGMENT_LOOP(k, COUNT) {
    uint32_t left[MT][4];
    FRAGMENT_LOOP(m, MT) FRAGMENT_LOOP(i, 4) {
      const float* c = p[k].c[m][i / 2] + 2 * (i % 2);
      left[m][i] = bf16_pair(c[0], c[1]);
    }
    FRAGMENT_LOOP(n, WIDTH / 16) {
      uint32_t right[2][2];
      ldmatrix_x4_trans(&right[0][0], b + chunks_along<WIDTH>(at_b, 2 * n) + 16 * k * WIDTH);
      mma_tile(acc[n].c, left, right);
    }
  }
}

// Scores of keys behind the tokens, where `keys` of the tile are there: 2^s is 0.
template <int MT, int COUNT>
DEVICE void mask_keys(Fragment<MT> (&s)[COUNT], int keys) {
  const int column = 2 * (static_cast<int>(threadIdx.x) % 4);
  FRAGMENT_LOOP(n, COUNT) FRAGMENT_LOOP(i, 4) {
    const bool there = 16 * n + 8 * (i / 2) + column + i % 2 < keys;
    FRAGMENT_LOOP(m, MT) FRAGMENT_LOOP(half, 2) {
      float& v = s[n].c[m][i / 2][2 * half + i % 2];
      v = there ? v : -INFINITY;
    }
  }
}

// Over the four lanes that hold a row.
DEVICE float row_max(float v) {
  const float a = shfl_xor(v, 1), b = a > v ? a : v, c = shfl_xor(b, 2);
  return c > b ? c : b;
}
DEVICE float row_sum(float v) {
  const float pair = v + shfl_xor(v, 1);
  return pair + shfl_xor(pair, 2);
}

inline void check_attention_sm80(const char* kernel, const AttentionShape& s, DType type,
                                 const AttentionLayout& layout) {
  ITO_CHECK(s.n >= 0 && s.n <= 65535 && s.heads > 0 && s.heads <= 65535 && s.tokens > 0, kernel, ": n=", s.n,
            " heads=", s.heads, " tokens=", s.tokens, ", expected positive sizes, images and heads at most 65535");
  ITO_CHECK(attention_sm80_takes(s, type, layout), kernel, ": ", name_of(type), " head_dim=", s.head_dim,
            " scale=", s.scale, " distances ", layout.qkv.token, " ", layout.qkv.head, " ", layout.out.token, " ",
            layout.out.head, ", expected bf16, a width up to 256, a positive scale, and multiples of 8");
}

// Calls f with the widths that kernels are made for, the first that holds the head.
template <class F>
void by_width(int head_dim, F&& f) {
  if (head_dim <= 32)
    f(std::integral_constant<int, 32>{});
  else if (head_dim <= 64)
    f(std::integral_constant<int, 64>{});
  else if (head_dim <= 128)
    f(std::integral_constant<int, 128>{});
  else
    f(std::integral_constant<int, 256>{});
}

}  // namespace ito
