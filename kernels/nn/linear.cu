// SPDX-License-Identifier: Apache-2.0
// y[n,k] = b[k] + sum_c f(x[n,c]) w[k,c], f = SiLU or nothing, and its gradients:
//   dx[n,c] = f'(x[n,c]) sum_k dy[n,k] w[k,c];  dw[k,c] = sum_n dy[n,k] f(x[n,c]);  db[k] = sum_n dy[n,k]
// Shapes: x (N, C), w (K, C), y (N, K), all fp32. The layers are small (embeddings: C, K <= 2048): what counts is that
// a row's bits do not depend on N, so these are no GEMM calls.
// Cuts: forward, a block owns a row and 128 outputs, f(x) once in shared memory, 16 lanes of sums over C: half a warp
// on a GPU, so that a filter's row is read whole; a vector on a CPU, four outputs at a time, since one is a chain of
// sums. dx, a block owns a row and a slice of its channels, a thread a strip of those, and walks K; dw, a block owns 16
// x 16 elements (16 x 64 where it is one thread), a thread of a GPU one of them, whose tree takes 18 registers; db is
// fold_tree of dy. Memory: forward reads w once a row (from cache, it is small); dw reads dy C / 16 and x K / 16 times.
#include "kernels/nn/linear.h"

#include "dialect.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/sum_tree.cuh"

namespace ito {
namespace {

constexpr int kLinearThreads = block_threads(128);
constexpr int kLinearOutputs = 128;

DEVICE float input_of(float x, bool silu) {
  return silu ? x * sigmoid(x) : x;
}

// Sums of OUTPUTS neighbouring rows of weights with one input, sixteen lanes each.
template <int OUTPUTS>
DEVICE void add_products(Lanes16 (&sum)[OUTPUTS], const float* input, const float* w, int c) {
  int j = 0;
  for (; j + 16 <= c; j += 16)
    for (int o = 0; o < OUTPUTS; ++o)
      for (int v = 0; v < 16; ++v) sum[o].lane[v] = fmaf(input[j + v], w[int64_t{1} * o * c + j + v], sum[o].lane[v]);
  for (int o = 0; o < OUTPUTS; ++o)
    for (int v = 0; v < 16; ++v)
      if (j + v < c) sum[o].lane[v] = fmaf(input[j + v], w[int64_t{1} * o * c + j + v], sum[o].lane[v]);
}

// The sixteen lanes of half a warp, in Lanes16::total()'s order. A template, for shuffles are no word of the cpu.
template <class T>
DEVICE T half_warp_total(T v) {
  for (int half = 8; half; half /= 2) v += shfl_xor(v, half);
  return v;
}

template <int LANES>
KERNEL void linear_forward_kernel(float* y, const float* x, const float* weight, const float* bias, LinearShape shape) {
  float* input = dyn_shared<float>();  // (C rounded up to 16), zero behind the row
  const int64_t row = blockIdx.x;
  const int c = shape.c, padded = (c + 15) / 16 * 16;
  BLOCK_LOOP(j, padded) input[j] = j < c ? input_of(x[row * c + j], shape.silu_input) : 0.0f;
  block_sync();
  const int k0 = static_cast<int>(blockIdx.y) * kLinearOutputs;
  const int outputs = shape.k - k0 < kLinearOutputs ? shape.k - k0 : kLinearOutputs;
  float* out = y + row * shape.k + k0;
  const float* first = weight + int64_t{1} * k0 * c;
  const auto bias_of = [&](int i) { return bias ? bias[k0 + i] : 0.0f; };
  if constexpr (LANES == 1) {
    int i = 0;
    for (; i + 4 <= outputs; i += 4) {
      Lanes16 sum[4];
      add_products<4>(sum, input, first + int64_t{1} * i * c, c);
      for (int o = 0; o < 4; ++o) out[i + o] = bias_of(i + o) + sum[o].total();
    }
    for (; i < outputs; ++i) {
      Lanes16 sum[1];
      add_products<1>(sum, input, first + int64_t{1} * i * c, c);
      out[i] = bias_of(i) + sum[0].total();
    }
  } else {
    constexpr int kAtOnce = kLinearThreads / 16;
    const int lane = static_cast<int>(threadIdx.x) % 16, own = static_cast<int>(threadIdx.x) / 16;
    for (int i0 = 0; i0 < outputs; i0 += kAtOnce) {
      const int i = i0 + own < outputs ? i0 + own : outputs - 1;  // every lane takes part in the shuffles
      const float* w = first + int64_t{1} * i * c;
      float sum = 0;
      for (int j = lane; j < c; j += 16) sum = fmaf(input[j], w[j], sum);
      sum = half_warp_total(sum);
      if (lane == 0 && i0 + own < outputs) out[i] = bias_of(i) + sum;
    }
  }
}

constexpr int kDataThreads = block_threads(128);
constexpr int kLinearStrip = WARP == 1 ? 32 : 1;
constexpr int kDataStrips = WARP == 1 ? 1 << 20 : 128;  // of a row that a block owns

KERNEL void linear_backward_data_kernel(float* dx, bool add, const float* dy, const float* x, const float* weight,
                                        LinearShape shape) {
  const int strips = (shape.c + kLinearStrip - 1) / kLinearStrip, c = shape.c;
  const int64_t row = blockIdx.x;
  const int strip0 = static_cast<int>(blockIdx.y) * kDataStrips;
  BLOCK_LOOP(strip, strips - strip0 < kDataStrips ? strips - strip0 : kDataStrips) {
    const int first = (strip0 + static_cast<int>(strip)) * kLinearStrip;
    const int width = c - first < kLinearStrip ? c - first : kLinearStrip;
    float sum[kLinearStrip] = {};
    for (int k = 0; k < shape.k; ++k) {
      const float gradient = dy[row * shape.k + k];
      const float* w = weight + int64_t{1} * k * c + first;
      if (width == kLinearStrip) {
        for (int v = 0; v < kLinearStrip; ++v) sum[v] = fmaf(gradient, w[v], sum[v]);
      } else {
        for (int v = 0; v < width; ++v) sum[v] = fmaf(gradient, w[v], sum[v]);
      }
    }
    for (int v = 0; v < width; ++v) {
      const int64_t at = row * c + first + v;
      float value = sum[v];
      if (shape.silu_input) value *= silu_gradient(x[at]);
      dx[at] = add ? dx[at] + value : value;
    }
  }
}

constexpr int kWeightRows = 16;                      // k of a block's tile
constexpr int kWeightColumns = WARP == 1 ? 64 : 16;  // c of a block's tile: an element a thread on a GPU
constexpr int kWeightThreads = block_threads(256);
constexpr int kMostChunk = 16;  // rows of a partial that fit the shared tiles
// A thread owns one column of kOwnRows rows on a GPU, the whole tile where a block is one thread.
constexpr int kOwnColumns = kWeightThreads == 1 ? kWeightColumns : 1;
constexpr int kOwnRows = kWeightRows * kWeightColumns / kWeightThreads / kOwnColumns;

KERNEL void linear_backward_weight_kernel(float* dweight, const float* dy, const float* x, LinearShape shape,
                                          int chunk) {
  SHARED(float, input, kMostChunk* kWeightColumns);  // (row, c)
  SHARED(float, gradient, kMostChunk* kWeightRows);  // (row, k)
  const int c0 = static_cast<int>(blockIdx.x) * kWeightColumns, k0 = static_cast<int>(blockIdx.y) * kWeightRows;
  const int across = kWeightColumns / kOwnColumns;
  const int own_column = static_cast<int>(threadIdx.x) % across * kOwnColumns;
  const int own_row = static_cast<int>(threadIdx.x) / across * kOwnRows;

  TreeSum<float, kOwnRows * kOwnColumns> tree;
  for (int first = 0; first < shape.n; first += chunk) {
    const int rows = shape.n - first < chunk ? shape.n - first : chunk;
    BLOCK_LOOP(e, rows * kWeightColumns) {
      const int64_t row = first + e / kWeightColumns;
      const int c = c0 + static_cast<int>(e % kWeightColumns);
      input[e] = c < shape.c ? input_of(x[row * shape.c + c], shape.silu_input) : 0.0f;
    }
    BLOCK_LOOP(e, rows * kWeightRows) {
      const int64_t row = first + e / kWeightRows;
      const int k = k0 + static_cast<int>(e % kWeightRows);
      gradient[e] = k < shape.k ? dy[row * shape.k + k] : 0.0f;
    }
    block_sync();
    float* sum = tree.begin(first / chunk);
    for (int i = 0; i < kOwnRows; ++i) {
      for (int row = 0; row < rows; ++row) {
        const float g = gradient[row * kWeightRows + own_row + i];
        const float* in = input + row * kWeightColumns + own_column;
        float* own = sum + i * kOwnColumns;
        for (int j = 0; j < kOwnColumns; ++j) own[j] = fmaf(g, in[j], own[j]);
      }
    }
    block_sync();
  }
  const float* total = tree.total();
  for (int i = 0; i < kOwnRows; ++i)
    for (int j = 0; j < kOwnColumns; ++j)
      if (k0 + own_row + i < shape.k && c0 + own_column + j < shape.c)
        dweight[int64_t{1} * (k0 + own_row + i) * shape.c + c0 + own_column + j] = total[i * kOwnColumns + j];
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_linear(const char* kernel, const LinearShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.c > 0 && shape.k > 0, kernel, ": n=", shape.n, " c=", shape.c, " k=", shape.k,
            ", expected n >= 0 and positive widths");
}

void linear_forward(Stream& stream, float* y, const float* x, const float* weight, const float* bias,
                    const LinearShape& shape) {
  check_linear("linear_forward", shape);
  const Dim3 grid(shape.n, ceil_div(shape.k, kLinearOutputs));
  const size_t smem = sizeof(float) * ceil_div(shape.c, 16) * 16;
  launch<linear_forward_kernel<WARP>>("linear_forward", grid, kLinearThreads, smem, stream, y, x, weight, bias, shape);
}

void linear_backward_data(Stream& stream, float* dx, Write write, const float* dy, const float* x, const float* weight,
                          const LinearShape& shape) {
  check_linear("linear_backward_data", shape);
  const Dim3 grid(shape.n, ceil_div(ceil_div(shape.c, kLinearStrip), kDataStrips));
  launch<linear_backward_data_kernel>("linear_backward_data", grid, kDataThreads, 0, stream, dx, write == Write::Add,
                                      dy, x, weight, shape);
}

void linear_backward_weight(Stream& stream, float* dweight, float* dbias, const float* dy, const float* x,
                            const LinearShape& shape) {
  check_linear("linear_backward_weight", shape);
  const int chunk = images_per_chunk();
  ITO_CHECK(chunk >= 1 && chunk <= kMostChunk, "linear_backward_weight: images_per_chunk() is ", chunk,
            ", expected 1 to ", kMostChunk);
  check_leaves("linear_backward_weight", ceil_div(shape.n, chunk));
  const Dim3 grid(ceil_div(shape.c, kWeightColumns), ceil_div(shape.k, kWeightRows));
  launch<linear_backward_weight_kernel>("linear_backward_weight", grid, kWeightThreads, 0, stream, dweight, dy, x,
                                        shape, chunk);
  if (dbias) fold_tree(stream, dbias, dy, shape.n, chunk, shape.k);
}

}  // namespace ito
