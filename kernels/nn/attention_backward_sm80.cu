// SPDX-License-Identifier: Apache-2.0
// Attention backward on tensor cores (Dao et al. 2022, algorithm 4; Dao 2023). With c = scale log2 e,
// p_ij = 2^(c q_i . k_j - lse_i log2 e) and delta_i = sum_d dout_id out_id:
//   ds_ij = p_ij (dout_i . v_j - delta_i)
//   dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i;  dv_j = sum_i p_ij dout_i
// p and ds are rounded to bf16 for the products they enter; all sums are fp32, and each gradient is rounded once.
// Shapes: q, k, v, out, dout and gradients (N, tokens, heads, head_dim) by strides; lse, delta (N, heads, tokens).
// The cut: delta by eight lanes a row. A pass by queries owns rows of (q, dout) and walks (k, v); a pass by keys owns
// rows of (k, v) and walks (q, dout), with scores transposed, so that p and ds are operands where they come into being:
// nothing of them passes through shared memory. Both are one kernel. That is 7 products where 5 would do in one pass
// with atomics into dq: the price of bits that do not depend on the order of blocks, and of no scratch but delta.
//   width  own rows x walked  scores at a time  shared KiB  registers dq; dk and dv (sm_80, sm_90)
//      32          128 x 32   32                16 + 8      160, 161; 195, 199
//      64          128 x 32   32, by keys 16    32 + 16     207, 205; 238, 241
//     128           64 x 32   32                32 + 32     159, 161; 242, 245
//     256           64 x 16   16                64 + 32     238, 232; dk 235, 230
//           dv      64 x 32   32                32 + 64     239, 240
// and in a pass by keys the statistics of the walked queries, at most 512 bytes. No spills; 128 threads, so registers
// allow two blocks an SM or more.
// At width 256 the registers hold one gradient of 64 rows: dk and dv have a launch each, with p computed in both.
// Work: 14 tokens^2 head_dim FLOPs a head (16 at width 256), 2 tokens^2 exponentials (3).
// Memory: own rows once, walked rows once from memory and tokens / own rows times from L2.
#include "dialect.h"
#include "kernels/nn/attention_sm80_tiles.cuh"

namespace ito {
namespace {

constexpr int kMostRows = 128;                // of a block
constexpr int kDeltaRows = kTileThreads / 8;  // of a block that computes delta

// What a launch makes: dq by queries; dk and dv by keys, or one of the two.
enum class Makes { Dq, Both, Dk, Dv };

template <int WIDTH, Makes MAKES>
struct BackwardTile {
  static constexpr bool kByKeys = MAKES != Makes::Dq, kDs = MAKES != Makes::Dv;
  static constexpr bool kP = MAKES == Makes::Both || MAKES == Makes::Dv;  // p is an operand: dv
  static constexpr int kMT = WIDTH <= 64 ? 2 : 1;
  static constexpr int kRows = 4 * 16 * kMT, kWalked = WIDTH <= 128 || !kDs ? 32 : 16;
  // Scores at a time: registers do not hold more beside two gradients of 32 rows a warp.
  static constexpr int kStep = WIDTH == 64 && MAKES == Makes::Both ? 16 : kWalked;
  static constexpr int kStage = 2 * kWalked * WIDTH;                 // elements
  static constexpr int kOwn = (kDs ? 2 : 1) * kRows * WIDTH;         // elements
  static constexpr int kStatistics = kByKeys ? 2 * 2 * kWalked : 0;  // floats
  static constexpr size_t kSharedBytes = sizeof(bf16) * (kOwn + 2 * kStage) + sizeof(float) * kStatistics;
};

// Rows of statistics: (N, heads, 2, padded) fp32, lse log2 e and delta, 0 behind the tokens; whole tiles may be read.
inline int padded_tokens(int tokens) {
  return static_cast<int>(ceil_div(tokens, kMostRows)) * kMostRows;
}

// Where the block's head begins.
DEVICE int64_t head_of(const AttentionStrides& strides, int tokens) {
  return int64_t{1} * blockIdx.z * tokens * strides.token + static_cast<int>(blockIdx.y) * strides.head;
}

// The eight lanes of a row take its chunks in turn. The grid covers whole rows of statistics.
KERNEL void attention_delta_sm80_kernel(float* statistics, const bf16* dout, const bf16* out, const float* lse,
                                        AttentionShape shape, AttentionStrides strides, int padded) {
  const int lane = static_cast<int>(threadIdx.x) % 8;
  const int token = static_cast<int>(blockIdx.x) * kDeltaRows + static_cast<int>(threadIdx.x) / 8;
  const int64_t head = int64_t{1} * blockIdx.z * shape.heads + blockIdx.y;
  const bool there = token < shape.tokens;
  float sum = 0.0f;
  if (there) {
    const int64_t at = head_of(strides, shape.tokens) + int64_t{1} * token * strides.token;
    for (int d = 8 * lane; d < shape.head_dim; d += 64) {
      const auto a = Packed<bf16, 8>::load(dout + at + d), b = Packed<bf16, 8>::load(out + at + d);
      FRAGMENT_LOOP(i, 8) sum = fmaf(to_float(a[i]), to_float(b[i]), sum);
    }
  }
  sum = row_sum(sum);
  sum += shfl_xor(sum, 4);
  float* of_head = statistics + head * 2 * padded;
  if (lane == 0) {
    of_head[token] = there ? lse[head * shape.tokens + token] * kLog2E : 0.0f;
    of_head[padded + token] = sum;
  }
}

// A tensor as the pass sees it: the block's head of it.
struct Rows {
  const bf16* data;
  AttentionStrides strides;
};

// Statistics of WALKED queries from `first`, without waiting: lse log2 e, then delta.
template <int WALKED>
DEVICE void copy_statistics(float* to, const float* of_head, int first, int padded) {
  const int i = static_cast<int>(threadIdx.x), part = i / (WALKED / 4);
  if (part < 2) cp_async16(to + 4 * i, of_head + part * padded + first + i % (WALKED / 4) * 4);
}

// Those of a lane's two columns, where the queries are the columns.
template <bool BY_KEYS>
DEVICE Packed<float, 2> statistics_of(const float* at) {
  if constexpr (BY_KEYS)
    return Packed<float, 2>::load(at);
  else
    return {};
}

// own a and b are (q, dout), walked a and b (k, v); by keys the other way round. first is the gradient of own a: dq or
// dk; second of own b: dv.
template <int WIDTH, Makes MAKES>
KERNEL void attention_backward_sm80_kernel(bf16* first_out, bf16* second_out, Rows own_a, Rows own_b, Rows walked_a,
                                           Rows walked_b, const float* statistics, AttentionShape shape, int padded) {
  using Tile = BackwardTile<WIDTH, MAKES>;
  constexpr int kMT = Tile::kMT, kRows = Tile::kRows, kWalked = Tile::kWalked, kStep = Tile::kStep;
  constexpr bool kByKeys = Tile::kByKeys, kDs = Tile::kDs, kP = Tile::kP;
  bf16* a = dyn_shared<bf16>();             // (kRows, WIDTH)
  bf16* b = a + (kDs ? kRows * WIDTH : 0);  // (kRows, WIDTH); where only dv is made it is not there
  bf16* stages = a + Tile::kOwn;            // two of walked a and b, (kWalked, WIDTH) each
  float* walked = reinterpret_cast<float*>(stages + 2 * Tile::kStage);  // two of statistics, (2, kWalked)

  const int tokens = shape.tokens, width = shape.head_dim, first = static_cast<int>(blockIdx.x) * kRows;
  const float scale_log2 = shape.scale * kLog2E;
  const float* of_head = statistics + (int64_t{1} * blockIdx.z * shape.heads + blockIdx.y) * 2 * padded;
  const bf16* to_walk_a = walked_a.data + head_of(walked_a.strides, tokens);
  const bf16* to_walk_b = walked_b.data + head_of(walked_b.strides, tokens);
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * kMT, lane = static_cast<int>(threadIdx.x) % 32;
  const bool busy = first + warp_row < tokens;  // of the warp

  copy_rows<WIDTH, kRows>(a, own_a.data + head_of(own_a.strides, tokens), own_a.strides.token, first, tokens, width);
  if constexpr (kDs)
    copy_rows<WIDTH, kRows>(b, own_b.data + head_of(own_b.strides, tokens), own_b.strides.token, first, tokens, width);
  copy_rows<WIDTH, kWalked>(stages, to_walk_a, walked_a.strides.token, 0, tokens, width);
  copy_rows<WIDTH, kWalked>(stages + kWalked * WIDTH, to_walk_b, walked_b.strides.token, 0, tokens, width);
  if constexpr (kByKeys) copy_statistics<kWalked>(walked, of_head, 0, padded);
  cp_async_commit();
  float own_lse[2 * kMT], own_delta[2 * kMT];
  if constexpr (!kByKeys) {
    FRAGMENT_LOOP(i, 2 * kMT) {
      own_lse[i] = of_head[first + warp_row + 8 * i + lane / 4];
      own_delta[i] = of_head[padded + first + warp_row + 8 * i + lane / 4];
    }
  }
  Fragment<kMT> of_a[kDs ? WIDTH / 16 : 1], of_b[kP ? WIDTH / 16 : 1];
  set_zero(of_a);
  set_zero(of_b);

  for (int walk0 = 0; walk0 < tokens; walk0 += kStep) {
    const int in_tile = walk0 % kWalked, stage = walk0 / kWalked % 2;
    if (in_tile == 0) {
      cp_async_wait<0>();
      block_sync();  // this tile is there, and nobody reads the last one any more
      const int next = walk0 + kWalked;
      if (next < tokens) {
        bf16* to = stages + (stage ^ 1) * Tile::kStage;
        copy_rows<WIDTH, kWalked>(to, to_walk_a, walked_a.strides.token, next, tokens, width);
        copy_rows<WIDTH, kWalked>(to + kWalked * WIDTH, to_walk_b, walked_b.strides.token, next, tokens, width);
        if constexpr (kByKeys) copy_statistics<kWalked>(walked + (stage ^ 1) * 2 * kWalked, of_head, next, padded);
        cp_async_commit();
      }
    }
    if (busy) {
      const bf16* tile_a = stages + stage * Tile::kStage + in_tile * WIDTH;
      const bf16* tile_b = tile_a + kWalked * WIDTH;
      const float* walked_lse = walked + stage * 2 * kWalked + in_tile + 2 * (lane % 4);
      const float* walked_delta = walked_lse + kWalked;
      Fragment<kMT> p[kStep / 16];
      multiply_rows<WIDTH>(p, a, warp_row, tile_a);
      // Zeros, but 2^-lse need not be finite. By keys they are rows nobody stores, and queries behind the tokens have
      // p = 1 and ds = 0 with rows of zeros.
      if (!kByKeys && walk0 + kStep > tokens) mask_keys(p, tokens - walk0);
      FRAGMENT_LOOP(n, kStep / 16) FRAGMENT_LOOP(block, 2) {
        const Packed<float, 2> of_columns = statistics_of<kByKeys>(walked_lse + 16 * n + 8 * block);
        FRAGMENT_LOOP(m, kMT) FRAGMENT_LOOP(i, 4) {
          float& v = p[n].c[m][block][i];
          v = exp2_below(fmaf(scale_log2, v, -(kByKeys ? of_columns[i % 2] : own_lse[2 * m + i / 2])));
        }
      }
      if constexpr (kP) multiply_add<WIDTH>(of_b, p, tile_b);
      if constexpr (kDs) {
        Fragment<kMT> ds[kStep / 16];
        multiply_rows<WIDTH>(ds, b, warp_row, tile_b);
        FRAGMENT_LOOP(n, kStep / 16) FRAGMENT_LOOP(block, 2) {
          const Packed<float, 2> of_columns = statistics_of<kByKeys>(walked_delta + 16 * n + 8 * block);
          FRAGMENT_LOOP(m, kMT) FRAGMENT_LOOP(i, 4) {
            float& v = ds[n].c[m][block][i];
            v = p[n].c[m][block][i] * (v - (kByKeys ? of_columns[i % 2] : own_delta[2 * m + i / 2]));
          }
        }
        multiply_add<WIDTH>(of_a, ds, tile_a);
      }
    }
  }

  float one[2 * kMT], scale[2 * kMT];
  FRAGMENT_LOOP(i, 2 * kMT) {
    one[i] = 1.0f;
    scale[i] = shape.scale;
  }
  block_sync();  // nobody reads the own rows any more
  if constexpr (kDs) round_rows<WIDTH>(a, warp_row, of_a, scale);
  if constexpr (kP) round_rows<WIDTH>(b, warp_row, of_b, one);
  block_sync();
  if constexpr (kDs)
    store_rows<WIDTH, kRows>(first_out + head_of(own_a.strides, tokens), a, own_a.strides.token, first, tokens, width);
  if constexpr (kP)
    store_rows<WIDTH, kRows>(second_out + head_of(own_b.strides, tokens), b, own_b.strides.token, first, tokens, width);
}

template <int WIDTH, Makes MAKES>
void launch_pass(const char* name, Stream& stream, bf16* first_out, bf16* second_out, const Rows (&own)[2],
                 const Rows (&walked)[2], const float* statistics, const AttentionShape& shape) {
  using Tile = BackwardTile<WIDTH, MAKES>;
  const Dim3 grid(ceil_div(shape.tokens, Tile::kRows), shape.heads, shape.n);
  launch<attention_backward_sm80_kernel<WIDTH, MAKES>>(name, grid, kTileThreads, Tile::kSharedBytes, stream, first_out,
                                                       second_out, own[0], own[1], walked[0], walked[1], statistics,
                                                       shape, padded_tokens(shape.tokens));
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

size_t attention_sm80_workspace(const AttentionShape& shape) {
  return sizeof(float) * 2 * shape.n * shape.heads * padded_tokens(shape.tokens);
}

void attention_sm80_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                             const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                             const AttentionShape& shape, const AttentionLayout& layout, void* workspace) {
  check_attention_sm80("attention_backward", shape, q.type, layout);
  float* statistics = static_cast<float*>(workspace);
  const int padded = padded_tokens(shape.tokens);
  launch<attention_delta_sm80_kernel>("attention_delta", Dim3(padded / kDeltaRows, shape.heads, shape.n), kTileThreads,
                                      0, stream, statistics, dout.as<bf16>(), out.as<bf16>(), lse, shape, layout.out,
                                      padded);
  const Rows queries[2] = {{q.as<bf16>(), layout.qkv}, {dout.as<bf16>(), layout.out}};
  const Rows keys[2] = {{k.as<bf16>(), layout.qkv}, {v.as<bf16>(), layout.qkv}};
  bf16 *to_q = dq.as<bf16>(), *to_k = dk.as<bf16>(), *to_v = dv.as<bf16>(), *none = nullptr;
  by_width(shape.head_dim, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    launch_pass<kWidth, Makes::Dq>("attention_backward_query", stream, to_q, none, queries, keys, statistics, shape);
    if constexpr (kWidth <= 128) {
      launch_pass<kWidth, Makes::Both>("attention_backward_key", stream, to_k, to_v, keys, queries, statistics, shape);
    } else {
      launch_pass<kWidth, Makes::Dk>("attention_backward_key", stream, to_k, none, keys, queries, statistics, shape);
      launch_pass<kWidth, Makes::Dv>("attention_backward_value", stream, none, to_v, keys, queries, statistics, shape);
    }
  });
}

}  // namespace ito
