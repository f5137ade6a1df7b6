// SPDX-License-Identifier: Apache-2.0
// Attention forward on tensor cores, out_i = sum_j softmax_j(scale q_i . k_j) v_j, with the online softmax of
// attention.cu in base 2 (Dao 2023): with c = scale log2 e and the running maximum m and sum l of a query's q . k,
//   p_ij = 2^(c s_ij - c m');  l = l 2^(c m - c m') + sum_j p_ij;  acc = acc 2^(c m - c m') + sum_j p_ij v_j
// and out = acc / l, lse = scale m + ln l. Scores, l and acc are fp32; p is rounded to bf16 for its product alone.
// Shapes: q, k, v, out (N, tokens, heads, head_dim) by strides; lse (N, heads, tokens).
// The cut: a block of four warps owns kRows queries of one head and walks the keys, kKeys at a time, in order: the bits
// of a row know nothing of the other rows. Copies of the next keys and values are under way while the present ones are
// multiplied; one barrier a tile.
//   width  rows x keys  shared KiB: q + 2 (k + v)  registers (sm_80, sm_90)
//      32     128 x 64  8 + 16                     168, 168
//      64     128 x 64  16 + 32                    224, 254
//     128      64 x 64  16 + 64                    164, 167
//     256      64 x 32  32 + 64                    235, 241
// 32 rows a warp where registers hold them: a fragment of keys read from shared memory serves twice the products.
// Work: 4 tokens^2 head_dim FLOPs a head, and 15 instructions a score for its exponential, maximum and sum, which at
// width 64 are two thirds of all.
// Memory: q and out once; k and v once from memory and tokens / kRows times from L2. Nothing of size tokens^2.
// Refused: splitting keys over blocks (a second launch to merge, and bits that follow the split); the hardware's
// approximate exponential (two instructions in place of twelve, but bits that no other build has).
#include <climits>

#include "dialect.h"
#include "kernels/nn/attention_sm80_tiles.cuh"

namespace ito {
namespace {

template <int WIDTH>
struct ForwardTile {
  static constexpr int kMT = WIDTH <= 64 ? 2 : 1;
  static constexpr int kRows = 4 * 16 * kMT, kKeys = WIDTH <= 128 ? 64 : 32;
  static constexpr size_t kSharedBytes = sizeof(bf16) * WIDTH * (kRows + 4 * kKeys);
};

// Folds a tile of scores into a row's maximum and sum: on return s holds p and acc is scaled to the new maximum.
template <int MT, int COUNT, int ACROSS>
DEVICE void online_softmax(Fragment<MT> (&s)[COUNT], Fragment<MT> (&acc)[ACROSS], float (&top)[2 * MT],
                           float (&sum)[2 * MT], float scale_log2) {
  FRAGMENT_LOOP(row, 2 * MT) {
    const int m = row / 2, at = row % 2 * 2;
    float highest = top[row];
    FRAGMENT_LOOP(n, COUNT) FRAGMENT_LOOP(i, 4) {
      const float v = s[n].c[m][i / 2][at + i % 2];
      highest = fmaxf(highest, v);
    }
    highest = row_max(highest);
    const float offset = scale_log2 * highest;
    const float correction = exp2_below(fmaf(scale_log2, top[row], -offset));  // 0 at the first tile
    float added = 0.0f;
    FRAGMENT_LOOP(n, COUNT) FRAGMENT_LOOP(i, 4) {
      float& v = s[n].c[m][i / 2][at + i % 2];
      v = exp2_below(fmaf(scale_log2, v, -offset));  // 0 where masked
      added += v;
    }
    top[row] = highest;
    sum[row] = fmaf(sum[row], correction, added);
    FRAGMENT_LOOP(n, ACROSS) FRAGMENT_LOOP(i, 4) acc[n].c[m][i / 2][at + i % 2] *= correction;
  }
}

template <int WIDTH>
KERNEL void attention_forward_sm80_kernel(bf16* out, float* lse, const bf16* q, const bf16* k, const bf16* v,
                                          AttentionShape shape, AttentionLayout layout) {
  using Tile = ForwardTile<WIDTH>;
  constexpr int kMT = Tile::kMT, kRows = Tile::kRows, kKeys = Tile::kKeys, kStage = 2 * kKeys * WIDTH;
  bf16* queries = dyn_shared<bf16>();      // (kRows, WIDTH)
  bf16* stages = queries + kRows * WIDTH;  // two of keys and values, (kKeys, WIDTH) each
  const int tokens = shape.tokens, width = shape.head_dim, first = static_cast<int>(blockIdx.x) * kRows;
  const int distance = layout.qkv.token, out_distance = layout.out.token;
  const int64_t head = int64_t{1} * blockIdx.z * tokens * distance + static_cast<int>(blockIdx.y) * layout.qkv.head;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * kMT, lane = static_cast<int>(threadIdx.x) % 32;
  const bool busy = first + warp_row < tokens;  // of the warp

  copy_rows<WIDTH, kRows>(queries, q + head, distance, first, tokens, width);
  copy_rows<WIDTH, kKeys>(stages, k + head, distance, 0, tokens, width);
  copy_rows<WIDTH, kKeys>(stages + kKeys * WIDTH, v + head, distance, 0, tokens, width);
  cp_async_commit();
  Fragment<kMT> acc[WIDTH / 16];
  float top[2 * kMT], sum[2 * kMT];
  set_zero(acc);
  FRAGMENT_LOOP(i, 2 * kMT) {
    top[i] = -INFINITY;
    sum[i] = 0.0f;
  }
  for (int key0 = 0, stage = 0; key0 < tokens; key0 += kKeys, stage ^= 1) {
    cp_async_wait<0>();
    block_sync();  // this tile is there, and nobody reads the last one any more
    const int next = key0 + kKeys;
    if (next < tokens) {
      bf16* to = stages + (stage ^ 1) * kStage;
      copy_rows<WIDTH, kKeys>(to, k + head, distance, next, tokens, width);
      copy_rows<WIDTH, kKeys>(to + kKeys * WIDTH, v + head, distance, next, tokens, width);
      cp_async_commit();
    }
    if (busy) {
      const bf16* keys = stages + stage * kStage;
      Fragment<kMT> s[kKeys / 16];
      multiply_rows<WIDTH>(s, queries, warp_row, keys);
      if (next > tokens) mask_keys(s, tokens - key0);
      online_softmax(s, acc, top, sum, shape.scale * kLog2E);
      multiply_add<WIDTH>(acc, s, keys + kKeys * WIDTH);
    }
  }
  float factor[2 * kMT];
  FRAGMENT_LOOP(i, 2 * kMT) {
    const float total = row_sum(sum[i]);
    const int row = first + warp_row + 8 * i + lane / 4;
    factor[i] = 1.0f / total;
    if (lane % 4 == 0 && row < tokens)
      lse[(int64_t{1} * blockIdx.z * shape.heads + blockIdx.y) * tokens + row] =
          fmaf(shape.scale, top[i], fast_log(total));
  }
  block_sync();  // nobody reads the queries any more
  round_rows<WIDTH>(queries, warp_row, acc, factor);
  block_sync();
  bf16* out_head =
      out + int64_t{1} * blockIdx.z * tokens * out_distance + static_cast<int>(blockIdx.y) * layout.out.head;
  store_rows<WIDTH, kRows>(out_head, queries, out_distance, first, tokens, width);
}

bool takes_rows(const AttentionStrides& strides, int tokens) {
  return strides.token % 8 == 0 && strides.head % 8 == 0 && int64_t{1} * strides.token * (tokens + 128) < INT_MAX;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

bool attention_sm80_takes(const AttentionShape& shape, DType type, const AttentionLayout& layout) {
  return type == DType::BF16 && shape.scale > 0.0f && shape.head_dim % 8 == 0 && shape.head_dim <= 256 &&
         takes_rows(layout.qkv, shape.tokens) && takes_rows(layout.out, shape.tokens);
}

void attention_sm80_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                            const AttentionShape& shape, const AttentionLayout& layout) {
  check_attention_sm80("attention_forward", shape, q.type, layout);
  by_width(shape.head_dim, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    using Tile = ForwardTile<kWidth>;
    const Dim3 grid(ceil_div(shape.tokens, Tile::kRows), shape.heads, shape.n);
    launch<attention_forward_sm80_kernel<kWidth>>("attention_forward", grid, kTileThreads, Tile::kSharedBytes, stream,
                                                  out.as<bf16>(), lse, q.as<bf16>(), k.as<bf16>(), v.as<bf16>(), shape,
                                                  layout);
  });
}

}  // namespace ito
