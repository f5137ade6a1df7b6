// SPDX-License-Identifier: Apache-2.0
// Attention backward (Dao et al. 2022, algorithm 4). With p_ij = e^(scale q_i . k_j - lse_i) and
// delta_i = sum_d dout_id out_id:
//   ds_ij = scale p_ij (dout_i . v_j - delta_i)
//   dq_i = sum_j ds_ij k_j;  dk_j = sum_i ds_ij q_i;  dv_j = sum_i p_ij dout_i
// Shapes: dq, dk, dv, dout, out, q, k, v (N, tokens, heads * head_dim); lse, delta (N, heads, tokens).
// The cut: delta by one thread a token; dq by blocks that own a tile of queries and pass over the keys; dk and dv by
// blocks that own a tile of keys and pass over the queries. p is computed in both passes: that is 7 products where one
// pass with atomics into dq needs 5, and the price of bits that do not depend on the order of blocks.
// Memory: the passed-over side is read tokens / tile times (from L2), everything else once.
#include "kernels/nn/attention.h"

#include "dialect.h"
#include "kernels/nn/attention_tiles.cuh"

namespace ito {
namespace {

template <class T>
DEVICE void attention_delta_body(int64_t item, float* delta, const T* dout, const T* out, AttentionShape shape) {
  const int64_t token = item % shape.tokens, head = item / shape.tokens % shape.heads;
  const int64_t image = item / shape.tokens / shape.heads;
  const int width = shape.head_dim;
  const int64_t at = ((image * shape.tokens + token) * shape.heads + head) * width;
  Lanes16 sum;
  int d = 0;
  for (; d + 16 <= width; d += 16)
    for (int v = 0; v < 16; ++v) sum.lane[v] = fmaf(to_float(dout[at + d + v]), to_float(out[at + d + v]), sum.lane[v]);
  for (int v = 0; v < 16; ++v)
    if (d + v < width) sum.lane[v] = fmaf(to_float(dout[at + d + v]), to_float(out[at + d + v]), sum.lane[v]);
  delta[item] = sum.total();
}

template <class T>
KERNEL void attention_backward_query_kernel(T* dq, const T* dout, const float* lse, const float* delta, const T* q,
                                            const T* k, const T* v, AttentionShape shape, int tile) {
  const int width = shape.head_dim, padded = padded_width(width), tokens = shape.tokens, area = tile * padded;
  const float scale = shape.scale;
  float* queries = dyn_shared<float>();  // (tile, padded)
  float* gradients = queries + area;     // dout, (tile, padded)
  float* keys = gradients + area;        // (tile, padded)
  float* keys_t = keys + area;           // (width, tile)
  float* values_t = keys_t + area;       // (width, tile)
  float* sum = values_t + area;          // dq, (tile, padded)
  float* p = sum + area;                 // (tile, tile): q k, then ds
  float* dp = p + tile * tile;           // (tile, tile)
  float* row_lse = dp + tile * tile;     // (tile)
  float* row_delta = row_lse + tile;

  const int first = static_cast<int>(blockIdx.x) * tile;
  const int64_t distance = int64_t{1} * shape.heads * width;
  const int64_t head = int64_t{1} * blockIdx.z * tokens * distance + int64_t{1} * blockIdx.y * width;
  const int64_t row = (int64_t{1} * blockIdx.z * shape.heads + blockIdx.y) * tokens + first;
  load_tokens<T>(queries, nullptr, q + head, distance, first, tokens, tile, width);
  load_tokens<T>(gradients, nullptr, dout + head, distance, first, tokens, tile, width);
  BLOCK_LOOP(i, area) sum[i] = 0.0f;
  BLOCK_LOOP(i, tile) {
    row_lse[i] = first + i < tokens ? lse[row + i] : 0.0f;
    row_delta[i] = first + i < tokens ? delta[row + i] : 0.0f;
  }
  for (int key0 = 0; key0 < tokens; key0 += tile) {
    block_sync();  // the last tile is read, or the queries and sums are there
    load_tokens<T>(keys, keys_t, k + head, distance, key0, tokens, tile, width);
    load_tokens<T>(nullptr, values_t, v + head, distance, key0, tokens, tile, width);
    block_sync();
    tile_product<Start::Zero>(p, queries, padded, keys_t, tile, tile, width);
    tile_product<Start::Zero>(dp, gradients, padded, values_t, tile, tile, width);
    block_sync();
    const int strips = tile / kColumns;
    BLOCK_LOOP(item, tile * strips) {
      const int i = static_cast<int>(item) / strips, j0 = static_cast<int>(item) % strips * kColumns;
      const float query_lse = row_lse[i], query_delta = row_delta[i];
      auto logit = Packed<float, kColumns>::load(p + i * tile + j0);
      const auto gradient = Packed<float, kColumns>::load(dp + i * tile + j0);
      for (int c = 0; c < kColumns; ++c) {
        const float probability = fast_exp(scale * logit[c] - query_lse);
        logit[c] = scale * (probability * (gradient[c] - query_delta));
      }
      logit.store(p + i * tile + j0);
    }
    block_sync();
    const int count = tokens - key0 < tile ? tokens - key0 : tile;  // keys behind the tokens take no part
    tile_product<Start::Old>(sum, p, tile, keys, tile, padded, count);
  }
  block_sync();
  store_tokens<T>(dq + head, sum, distance, first, tokens, tile, width);
}

template <class T>
KERNEL void attention_backward_key_kernel(T* dk, T* dv, const T* dout, const float* lse, const float* delta, const T* q,
                                          const T* k, const T* v, AttentionShape shape, int tile) {
  const int width = shape.head_dim, padded = padded_width(width), tokens = shape.tokens, area = tile * padded;
  const float scale = shape.scale;
  float* keys = dyn_shared<float>();      // (tile, padded)
  float* values = keys + area;            // (tile, padded)
  float* queries = values + area;         // (tile, padded)
  float* queries_t = queries + area;      // (width, tile)
  float* gradients = queries_t + area;    // dout, (tile, padded)
  float* gradients_t = gradients + area;  // (width, tile)
  float* key_sum = gradients_t + area;    // dk, (tile, padded)
  float* value_sum = key_sum + area;      // dv, (tile, padded)
  float* p = value_sum + area;            // (tile keys, tile queries)
  float* ds = p + tile * tile;            // the same: dout v, then ds
  float* column_lse = ds + tile * tile;   // (tile)
  float* column_delta = column_lse + tile;

  const int first = static_cast<int>(blockIdx.x) * tile;
  const int64_t distance = int64_t{1} * shape.heads * width;
  const int64_t head = int64_t{1} * blockIdx.z * tokens * distance + int64_t{1} * blockIdx.y * width;
  const int64_t row = (int64_t{1} * blockIdx.z * shape.heads + blockIdx.y) * tokens;
  load_tokens<T>(keys, nullptr, k + head, distance, first, tokens, tile, width);
  load_tokens<T>(values, nullptr, v + head, distance, first, tokens, tile, width);
  BLOCK_LOOP(i, area) {
    key_sum[i] = 0.0f;
    value_sum[i] = 0.0f;
  }
  for (int query0 = 0; query0 < tokens; query0 += tile) {
    block_sync();  // the last tile is read, or the keys, values and sums are there
    load_tokens<T>(queries, queries_t, q + head, distance, query0, tokens, tile, width);
    load_tokens<T>(gradients, gradients_t, dout + head, distance, query0, tokens, tile, width);
    BLOCK_LOOP(i, tile) {
      column_lse[i] = query0 + i < tokens ? lse[row + query0 + i] : 0.0f;
      column_delta[i] = query0 + i < tokens ? delta[row + query0 + i] : 0.0f;
    }
    block_sync();
    tile_product<Start::Zero>(p, keys, padded, queries_t, tile, tile, width);
    tile_product<Start::Zero>(ds, values, padded, gradients_t, tile, tile, width);
    block_sync();
    const int strips = tile / kColumns;
    BLOCK_LOOP(item, tile * strips) {
      const int j = static_cast<int>(item) / strips, i0 = static_cast<int>(item) % strips * kColumns;
      auto logit = Packed<float, kColumns>::load(p + j * tile + i0);
      auto gradient = Packed<float, kColumns>::load(ds + j * tile + i0);
      const auto query_lse = Packed<float, kColumns>::load(column_lse + i0);
      const auto query_delta = Packed<float, kColumns>::load(column_delta + i0);
      for (int c = 0; c < kColumns; ++c) {
        logit[c] = fast_exp(scale * logit[c] - query_lse[c]);
        gradient[c] = scale * (logit[c] * (gradient[c] - query_delta[c]));
      }
      logit.store(p + j * tile + i0);
      gradient.store(ds + j * tile + i0);
    }
    block_sync();
    const int count = tokens - query0 < tile ? tokens - query0 : tile;  // queries behind the tokens take no part
    tile_product<Start::Old>(value_sum, p, tile, gradients, tile, padded, count);
    tile_product<Start::Old>(key_sum, ds, tile, queries, tile, padded, count);
  }
  block_sync();
  store_tokens<T>(dk + head, key_sum, distance, first, tokens, tile, width);
  store_tokens<T>(dv + head, value_sum, distance, first, tokens, tile, width);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

size_t attention_portable_workspace(const AttentionShape& shape) {
  return sizeof(float) * shape.n * shape.heads * shape.tokens;
}

void attention_portable_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout,
                                 ConstDataRef out, const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                                 const AttentionShape& shape, void* workspace) {
  check_attention("attention_backward", shape);
  float* delta = static_cast<float*>(workspace);
  const int tile = attention_tile(shape.head_dim, 8);
  const int padded = static_cast<int>(ceil_div(shape.head_dim, kColumns)) * kColumns;
  const size_t square = sizeof(float) * (2 * tile * tile + 2 * tile);
  const Dim3 grid(ceil_div(shape.tokens, tile), shape.heads, shape.n);
  by_type(q.type, [&](auto zero) {
    using T = decltype(zero);
    for_each<attention_delta_body<T>>("attention_delta", int64_t{1} * shape.n * shape.heads * shape.tokens, stream,
                                      delta, dout.as<T>(), out.as<T>(), shape);
    launch<attention_backward_query_kernel<T>>("attention_backward_query", grid, kAttentionThreads,
                                               square + sizeof(float) * 6 * tile * padded, stream, dq.as<T>(),
                                               dout.as<T>(), lse, delta, q.as<T>(), k.as<T>(), v.as<T>(), shape, tile);
    launch<attention_backward_key_kernel<T>>("attention_backward_key", grid, kAttentionThreads,
                                             square + sizeof(float) * 8 * tile * padded, stream, dk.as<T>(), dv.as<T>(),
                                             dout.as<T>(), lse, delta, q.as<T>(), k.as<T>(), v.as<T>(), shape, tile);
  });
}

}  // namespace ito
