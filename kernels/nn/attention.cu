// SPDX-License-Identifier: Apache-2.0
// Attention forward, out_i = sum_j softmax_j(scale q_i . k_j) v_j, by the online softmax (Milakov and Gimelshein 2018;
// tiled as in Dao et al. 2022): for each tile of keys, with the running maximum m and sum l of a query,
//   m' = max(m, max_j s_ij);  l = l e^(m - m') + sum_j e^(s_ij - m');  acc = acc e^(m - m') + sum_j e^(s_ij - m') v_j
// and out = acc / l, lse = m + ln l at the end.
// Shapes: q, k, v, out (N, tokens, heads * head_dim); lse (N, heads, tokens).
// The cut: a block owns a tile of queries of one head; keys and values pass through shared memory once a tile.
// Memory: k and v are read tokens / tile times (from L2), q and out once. Nothing of size tokens^2 is stored.
// Refused: splitting keys over blocks (a second launch to merge, and bits that follow the split).
#include "kernels/nn/attention.h"

#include "dialect.h"
#include "kernels/nn/attention_tiles.cuh"

namespace ito {
namespace {

// Scales the logits of one query's row, masks keys behind the tokens, and folds the row into (m, l): on return
// row[j] = e^(s_j - m) and *correction is what acc has to be multiplied by.
DEVICE void online_softmax_row(float* row, float* m, float* l, float* correction, int tile, int keys, float scale) {
  float lane[kColumns];
  for (int v = 0; v < kColumns; ++v) lane[v] = -INFINITY;
  for (int j = 0; j < tile; j += kColumns) {
    auto logit = Packed<float, kColumns>::load(row + j);
    for (int v = 0; v < kColumns; ++v) {
      logit[v] = j + v < keys ? scale * logit[v] : -INFINITY;
      lane[v] = logit[v] > lane[v] ? logit[v] : lane[v];
    }
    logit.store(row + j);
  }
  float top = *m;
  for (int v = 0; v < kColumns; ++v) top = lane[v] > top ? lane[v] : top;
  for (int v = 0; v < kColumns; ++v) lane[v] = 0.0f;
  for (int j = 0; j < tile; j += kColumns) {
    auto p = Packed<float, kColumns>::load(row + j);
    for (int v = 0; v < kColumns; ++v) {
      p[v] = fast_exp(p[v] - top);  // 0 where masked
      lane[v] += p[v];
    }
    p.store(row + j);
  }
  *correction = fast_exp(*m - top);  // 0 at the first tile, where m is -infinity
  float sum = *l * *correction;
  for (int v = 0; v < kColumns; ++v) sum += lane[v];
  *l = sum;
  *m = top;
}

template <class T>
KERNEL void attention_forward_kernel(T* out, float* lse, const T* q, const T* k, const T* v, AttentionShape shape,
                                     int tile) {
  const int width = shape.head_dim, padded = padded_width(width), tokens = shape.tokens;
  float* queries = dyn_shared<float>();   // (tile, padded)
  float* keys = queries + tile * padded;  // (width, tile)
  float* values = keys + padded * tile;   // (tile, padded)
  float* acc = values + tile * padded;    // (tile, padded)
  float* logits = acc + tile * padded;    // (tile, tile)
  float* m = logits + tile * tile;        // (tile)
  float* l = m + tile;
  float* correction = l + tile;

  const int first = static_cast<int>(blockIdx.x) * tile;
  const int64_t distance = int64_t{1} * shape.heads * width;
  const int64_t head = int64_t{1} * blockIdx.z * tokens * distance + int64_t{1} * blockIdx.y * width;
  load_tokens<T>(queries, nullptr, q + head, distance, first, tokens, tile, width);
  BLOCK_LOOP(i, tile * padded) acc[i] = 0.0f;
  BLOCK_LOOP(i, tile) {
    m[i] = -INFINITY;
    l[i] = 0.0f;
  }
  for (int key0 = 0; key0 < tokens; key0 += tile) {
    block_sync();  // the last tile is read, or the queries and sums are there
    load_tokens<T>(nullptr, keys, k + head, distance, key0, tokens, tile, width);
    load_tokens<T>(values, nullptr, v + head, distance, key0, tokens, tile, width);
    block_sync();
    tile_product<Start::Zero>(logits, queries, padded, keys, tile, tile, width);
    block_sync();
    const int count = tokens - key0 < tile ? tokens - key0 : tile;
    BLOCK_LOOP(i, tile) {
      online_softmax_row(logits + i * tile, m + i, l + i, correction + i, tile, count, shape.scale);
    }
    block_sync();
    tile_product<Start::ScaledOld>(acc, logits, tile, values, tile, padded, count, correction);
  }
  block_sync();
  BLOCK_LOOP(i, tile * padded) acc[i] = acc[i] / l[i / padded];
  BLOCK_LOOP(i, tile) {
    if (first + i < tokens) {
      lse[(int64_t{1} * blockIdx.z * shape.heads + blockIdx.y) * tokens + first + i] = m[i] + fast_log(l[i]);
    }
  }
  block_sync();
  store_tokens<T>(out + head, acc, distance, first, tokens, tile, width);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void attention_portable_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                                const AttentionShape& shape) {
  check_attention("attention_forward", shape);
  const int tile = attention_tile(shape.head_dim, 4);
  const int padded = static_cast<int>(ceil_div(shape.head_dim, kColumns)) * kColumns;
  const size_t smem = sizeof(float) * (4 * tile * padded + tile * tile + 3 * tile);
  const Dim3 grid(ceil_div(shape.tokens, tile), shape.heads, shape.n);
  by_type(q.type, [&](auto zero) {
    using T = decltype(zero);
    launch<attention_forward_kernel<T>>("attention_forward", grid, kAttentionThreads, smem, stream, out.as<T>(), lse,
                                        q.as<T>(), k.as<T>(), v.as<T>(), shape, tile);
  });
}

}  // namespace ito
