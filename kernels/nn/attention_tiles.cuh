// SPDX-License-Identifier: Apache-2.0
// Tiles of the portable attention kernels: loads from a head's rows into shared memory, and a small product between
// tiles. Included by attention.cu and attention_backward.cu after "dialect.h".
#pragma once
#include "kernels/nn/attention.h"

namespace ito {

inline constexpr int kAttentionThreads = block_threads(256);
// A thread's share of a product: kRows rows of kColumns neighbouring columns, in registers.
inline constexpr int kRows = WARP == 1 ? 4 : 2;
inline constexpr int kColumns = WARP == 1 ? 16 : 2;

// Tokens in a tile, from the head's width alone. On a GPU `tiles` tiles of it take at most 32 KiB of shared memory;
// those of a wide head, which would leave most threads without work, up to 80 KiB, which a block may have on every
// card.
inline int attention_tile(int head_dim, int tiles) {
  if (WARP == 1) return 32;
  int tile = 32;
  while (tile > kRows && tile * head_dim * tiles > (tile > 16 ? 8192 : 20480)) tile /= 2;
  return tile;
}

DEVICE int padded_width(int head_dim) {
  return (head_dim + kColumns - 1) / kColumns * kColumns;
}

// rows[t][d] (width padded) and / or columns[d][t] (width tile) = token first + t of the head; 0 behind the tokens and
// in the padding. source points at the head's channel 0 of token 0; distance: elements from token to token.
template <class T>
DEVICE void load_tokens(float* rows, float* columns, const T* source, int64_t distance, int first, int tokens, int tile,
                        int head_dim) {
  const int padded = padded_width(head_dim), strips = padded / kColumns;
  BLOCK_LOOP(item, tile * strips) {
    const int t = static_cast<int>(item) / strips, d0 = static_cast<int>(item) % strips * kColumns;
    float value[kColumns] = {};
    if (first + t < tokens) {
      const T* from = source + (first + t) * distance + d0;
      if (d0 + kColumns <= head_dim) {
        for (int v = 0; v < kColumns; ++v) value[v] = to_float(from[v]);
      } else {
        for (int v = 0; v < kColumns; ++v)
          if (d0 + v < head_dim) value[v] = to_float(from[v]);
      }
    }
    if (rows) {
      for (int v = 0; v < kColumns; ++v) rows[t * padded + d0 + v] = value[v];
    }
    if (columns) {
      for (int v = 0; v < kColumns; ++v)
        if (d0 + v < head_dim) columns[(d0 + v) * tile + t] = value[v];
    }
  }
}

// The tile's tokens below `tokens`, back to a head's rows.
template <class T>
DEVICE void store_tokens(T* target, const float* rows, int64_t distance, int first, int tokens, int tile,
                         int head_dim) {
  const int padded = padded_width(head_dim), strips = padded / kColumns;
  BLOCK_LOOP(item, tile * strips) {
    const int t = static_cast<int>(item) / strips, d0 = static_cast<int>(item) % strips * kColumns;
    if (first + t < tokens) {
      for (int v = 0; v < kColumns; ++v)
        if (d0 + v < head_dim) target[(first + t) * distance + d0 + v] = from_float<T>(rows[t * padded + d0 + v]);
    }
  }
}

enum class Start { Zero, Old, ScaledOld };

// c[i][j] = start + sum_l a[i][l] b[l][j], terms in order of l: c (rows, columns), a (rows, depth) at row distance lda,
// b (depth, columns). ScaledOld starts from c[i][j] * row_scale[i].
template <Start START>
DEVICE void tile_product(float* c, const float* a, int lda, const float* b, int rows, int columns, int depth,
                         const float* row_scale = nullptr) {
  const int strips = columns / kColumns;
  BLOCK_LOOP(item, rows / kRows * strips) {
    const int i0 = static_cast<int>(item) / strips * kRows, j0 = static_cast<int>(item) % strips * kColumns;
    // The rows are one loop body over neighbouring columns: the form that compilers keep in vector registers.
    float sum[kRows][kColumns];
    for (int j = 0; j < kColumns; ++j) {
      for (int i = 0; i < kRows; ++i) {
        sum[i][j] = START == Start::Zero ? 0.0f : c[(i0 + i) * columns + j0 + j];
        if (START == Start::ScaledOld) sum[i][j] *= row_scale[i0 + i];
      }
    }
    for (int l = 0; l < depth; ++l) {
      const float* right = b + l * columns + j0;
      float left[kRows];
      for (int i = 0; i < kRows; ++i) left[i] = a[(i0 + i) * lda + l];
      for (int j = 0; j < kColumns; ++j)
        for (int i = 0; i < kRows; ++i) sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
    }
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) c[(i0 + i) * columns + j0 + j] = sum[i][j];
  }
}

inline void check_attention(const char* kernel, const AttentionShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.n <= 65535 && shape.heads > 0 && shape.heads <= 65535 && shape.tokens > 0, kernel,
            ": n=", shape.n, " heads=", shape.heads, " tokens=", shape.tokens,
            ", expected positive sizes, images and heads at most 65535");
  ITO_CHECK(shape.head_dim > 0 && shape.head_dim <= kMaxHeadDim, kernel, ": head_dim=", shape.head_dim,
            ", expected 1 to ", kMaxHeadDim);
}

}  // namespace ito
