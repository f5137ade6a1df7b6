// SPDX-License-Identifier: Apache-2.0
// y[n,k] = b[k] + sum_c f(x[n,c]) w[k,c], f = SiLU or nothing, and its gradients:
//   dx[n,c] = f'(x[n,c]) sum_k dy[n,k] w[k,c];  dw[k,c] = sum_n dy[n,k] f(x[n,c]);  db[k] = sum_n dy[n,k]
// Shapes: x (N, C), w (K, C), y (N, K), all fp32. The layers are small (embeddings: C, K <= 2048): what counts is that
// a row's bits do not depend on N, so these are no GEMM calls.
// Cuts: forward, a block owns a row and 128 outputs, f(x) once in shared memory, 16 lanes of sums over C;
// dx, a thread owns a strip of one row's channels and walks K; dw, a block owns 16 x 16 elements (16 x 64 where it is
// one thread), a thread of a GPU one of them, whose tree takes 18 registers; db is fold_tree of dy.
// Memory: forward reads w once a row (from cache, it is small); dw reads dy C / 16 and x K / 16 times.
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

KERNEL void linear_forward_kernel(float* y, const float* x, const float* weight, const float* bias, LinearShape shape) {
  float* input = dyn_shared<float>();  // (C rounded up to 16), zero behind the row
  const int64_t row = blockIdx.x;
  const int c = shape.c, padded = (c + 15) / 16 * 16;
  BLOCK_LOOP(j, padded) input[j] = j < c ? input_of(x[row * c + j], shape.silu_input) : 0.0f;
  block_sync();
  const int k0 = static_cast<int>(blockIdx.y) * kLinearOutputs;
  const int outputs = shape.k - k0 < kLinearOutputs ? shape.k - k0 : kLinearOutputs;
  BLOCK_LOOP(i, outputs) {
    const float* w = weight + (k0 + i) * c;
    Lanes16 sum;
    int j = 0;
    for (; j + 16 <= c; j += 16)
      for (int v = 0; v < 16; ++v) sum.lane[v] = fmaf(input[j + v], w[j + v], sum.lane[v]);
    for (int v = 0; v < 16; ++v)
      if (j + v < c) sum.lane[v] = fmaf(input[j + v], w[j + v], sum.lane[v]);
    y[row * shape.k + k0 + i] = (bias ? bias[k0 + i] : 0.0f) + sum.total();
  }
}

constexpr int kLinearStrip = WARP == 1 ? 16 : 1;

DEVICE void linear_backward_data_body(int64_t item, float* dx, bool add, const float* dy, const float* x,
                                      const float* weight, LinearShape shape) {
  const int64_t strips = (shape.c + kLinearStrip - 1) / kLinearStrip;
  const int64_t row = item / strips;
  const int first = static_cast<int>(item % strips) * kLinearStrip, c = shape.c;
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
  launch<linear_forward_kernel>("linear_forward", grid, kLinearThreads, smem, stream, y, x, weight, bias, shape);
}

void linear_backward_data(Stream& stream, float* dx, Write write, const float* dy, const float* x, const float* weight,
                          const LinearShape& shape) {
  check_linear("linear_backward_data", shape);
  for_each<linear_backward_data_body>("linear_backward_data", shape.n * ceil_div(shape.c, kLinearStrip), stream, dx,
                                      write == Write::Add, dy, x, weight, shape);
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
