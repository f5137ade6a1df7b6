// SPDX-License-Identifier: Apache-2.0
// y[n,k] = b[k] + sum_c f(x[n,c]) w[k,c], f = SiLU or nothing, and its gradients:
//   dx[n,c] = f'(x[n,c]) sum_k dy[n,k] w[k,c];  dw[k,c] = sum_n dy[n,k] f(x[n,c]);  db[k] = sum_n dy[n,k]
// Shapes: x (N, C), w (K, C), y (N, K), all fp32. The layers are small (embeddings: C, K <= 2048): what counts is that
// a row's bits do not depend on N, so these are no GEMM calls.
// Cuts: forward, a block owns a row and 128 outputs, f(x) once in shared memory, 16 lanes of sums over C: half a warp
// on a GPU, so that a filter's row is read whole; a vector on a CPU, four outputs at a time, since one is a chain of
// sums. dx, a block owns 8 rows and 64 channels (4 and 32 where it is one thread), so that w is read once for 8 rows;
// K is four parts, summed apart by four times as many threads and joined as (0 + 1) + (2 + 3). dw, a block owns 16 x 16
// elements (16 x 64 where it is one thread), a thread of a GPU one of them, whose tree takes 18 registers; 64 rows of x
// and dy stand in shared memory, whole partials of them. db is the gradient of an input that is 1.
// Memory: forward reads w once a row (from cache, it is small); dx reads w N / 8 and dy C / 64 times; dw reads dy C /
// 16 and x K / 16 times. Refused: four channels a thread in dx (16 bytes of w a load): a quarter of the threads, where
// there are few.
#include "kernels/nn/linear.h"

#include "dialect.h"
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

constexpr int kBackwardThreads = block_threads(256);
constexpr int kDataParts = 4;                       // of K, summed apart
constexpr int kDataRows = WARP == 1 ? 4 : 8;        // of dx that a block owns, for one reading of w
constexpr int kDataColumns = WARP == 1 ? 128 : 64;  // channels that a block owns
constexpr int kDataDepth = 32;                      // k of a part whose dy stand in shared memory
// A strip: one channel of a part on a GPU, where a thread owns one strip; 32 where a block is one thread, with all.
constexpr int kDataOwn = kBackwardThreads == 1 ? 32 : 1;
constexpr int kDataStrips = kDataColumns / kDataOwn;
constexpr int kDataOwnStrips = kDataParts * kDataStrips / kBackwardThreads;
constexpr int kStageOwn = kBackwardThreads == 1 ? kDataDepth : 1;

// acc[r][v] += sum over `depth` k of gradient[k][r] w[k][v].
template <int ROWS, int OWN>
DEVICE void add_gradients(float (&acc)[ROWS][OWN], const float* gradient, const float* w, int c, int depth, int width) {
  if (width == OWN) {
    for (int k = 0; k < depth; ++k)
      for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < OWN; ++v) acc[r][v] = fmaf(gradient[k * ROWS + r], w[int64_t{1} * k * c + v], acc[r][v]);
  } else if constexpr (OWN > 1) {
    for (int k = 0; k < depth; ++k)
      for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < width; ++v) acc[r][v] = fmaf(gradient[k * ROWS + r], w[int64_t{1} * k * c + v], acc[r][v]);
  }
}

KERNEL void linear_backward_data_kernel(float* dx, bool add, const float* dy, const float* x, const float* weight,
                                        LinearShape shape) {
  SHARED(float, gradient, kDataParts* kDataDepth* kDataRows);  // (part, k, row)
  SHARED(float, sums, kDataParts* kDataRows* kDataColumns);    // (part, row, c)
  const int64_t row0 = int64_t{blockIdx.x} * kDataRows;
  const int rows = static_cast<int>(shape.n - row0 < kDataRows ? shape.n - row0 : kDataRows);
  const int c0 = static_cast<int>(blockIdx.y) * kDataColumns, c = shape.c;
  const int columns = c - c0 < kDataColumns ? c - c0 : kDataColumns;
  const int span = (shape.k + kDataParts - 1) / kDataParts;  // k of a part, the last may have fewer
  const auto depth_of = [&](int part, int base) {
    const int begin = part * span + base, end = (part + 1) * span < shape.k ? (part + 1) * span : shape.k;
    return end - begin < kDataDepth ? end - begin : kDataDepth;
  };
  // f(own, part, first channel, channels) for the thread's strips.
  const auto for_strips = [&](auto&& f) {
    for (int own = 0; own < kDataOwnStrips; ++own) {
      const int strip = static_cast<int>(threadIdx.x) + own * kBackwardThreads;
      const int first = strip % kDataStrips * kDataOwn;
      f(own, strip / kDataStrips, first, columns - first < kDataOwn ? columns - first : kDataOwn);
    }
  };

  float sum[kDataOwnStrips][kDataRows][kDataOwn] = {};
  for (int base = 0; base < span; base += kDataDepth) {
    BLOCK_LOOP(e, kDataParts * kDataRows * kDataDepth / kStageOwn) {
      const int run = static_cast<int>(e) * kStageOwn / kDataDepth, k = static_cast<int>(e) * kStageOwn % kDataDepth;
      const int part = run / kDataRows, row = run % kDataRows, depth = row < rows ? depth_of(part, base) : 0;
      const float* from = dy + (row0 + row) * shape.k + part * span + base + k;
      float* to = &gradient[(part * kDataDepth + k) * kDataRows + row];
      for (int v = 0; v < kStageOwn; ++v) to[v * kDataRows] = k + v < depth ? from[v] : 0.0f;
    }
    block_sync();
    for_strips([&](int own, int part, int first, int width) {
      add_gradients(sum[own], &gradient[part * kDataDepth * kDataRows],
                    weight + int64_t{1} * (part * span + base) * c + c0 + first, c, depth_of(part, base), width);
    });
    block_sync();
  }
  for_strips([&](int own, int part, int first, int) {
    for (int r = 0; r < kDataRows; ++r)
      for_lanes<kDataOwn>([&](int v) { sums[(part * kDataRows + r) * kDataColumns + first + v] = sum[own][r][v]; });
  });
  block_sync();
  BLOCK_LOOP(e, rows * kDataStrips) {
    const int row = static_cast<int>(e) / kDataStrips, first = static_cast<int>(e) % kDataStrips * kDataOwn;
    const float* part = &sums[row * kDataColumns + first];
    const int64_t at = (row0 + row) * c + c0 + first;
    constexpr int kPart = kDataRows * kDataColumns;
    const auto write = [&](int v) {
      float value = (part[v] + part[kPart + v]) + (part[2 * kPart + v] + part[3 * kPart + v]);
      if (shape.silu_input) value *= silu_gradient(x[at + v]);
      dx[at + v] = add ? dx[at + v] + value : value;
    };
    if (columns - first >= kDataOwn)
      for_lanes<kDataOwn>(write);
    else
      for (int v = 0; v < columns - first; ++v) write(v);
  }
}

constexpr int kWeightRows = 16;                      // k of a block's tile
constexpr int kWeightColumns = WARP == 1 ? 64 : 16;  // c of a block's tile: an element a thread on a GPU
constexpr int kStageRows = 64;                       // rows of x and dy in shared memory, whole partials of them
constexpr int kMostChunk = kStageRows;
// A thread owns one column of kOwnRows rows on a GPU, the whole tile where a block is one thread; of that it sums
// kAtOnceRows x kAtOnceColumns in registers.
constexpr int kOwnColumns = kBackwardThreads == 1 ? kWeightColumns : 1;
constexpr int kOwnRows = kWeightRows * kWeightColumns / kBackwardThreads / kOwnColumns;
constexpr int kAtOnceRows = kOwnRows < 4 ? kOwnRows : 4, kAtOnceColumns = kOwnColumns < 32 ? kOwnColumns : 32;

// Column C of the inputs is 1 in every row: its gradient is the bias'.
KERNEL void linear_backward_weight_kernel(float* dweight, float* dbias, const float* dy, const float* x,
                                          LinearShape shape, int chunk) {
  SHARED(float, input, kStageRows* kWeightColumns);  // (row, c)
  SHARED(float, gradient, kStageRows* kWeightRows);  // (row, k)
  const int c0 = static_cast<int>(blockIdx.x) * kWeightColumns, k0 = static_cast<int>(blockIdx.y) * kWeightRows;
  const int across = kWeightColumns / kOwnColumns, stage = kStageRows / chunk * chunk;
  const int own_column = static_cast<int>(threadIdx.x) % across * kOwnColumns;
  const int own_row = static_cast<int>(threadIdx.x) / across * kOwnRows;

  TreeSum<float, kOwnRows * kOwnColumns> tree;
  for (int begin = 0; begin < shape.n; begin += stage) {
    const int staged = shape.n - begin < stage ? shape.n - begin : stage;
    BLOCK_LOOP(e, staged * across) {
      const int row = static_cast<int>(e) / across, column = static_cast<int>(e) % across * kOwnColumns;
      const int64_t from = int64_t{1} * (begin + row) * shape.c + c0 + column;
      float* to = &input[row * kWeightColumns + column];
      if (c0 + column + kOwnColumns <= shape.c) {
        if (shape.silu_input)
          for_lanes<kOwnColumns>([&](int v) { to[v] = input_of(x[from + v], true); });
        else
          for_lanes<kOwnColumns>([&](int v) { to[v] = x[from + v]; });
      } else {
        for (int v = 0; v < kOwnColumns; ++v) {
          const int c = c0 + column + v;
          to[v] = c < shape.c ? input_of(x[from + v], shape.silu_input) : (c == shape.c ? 1.0f : 0.0f);
        }
      }
    }
    BLOCK_LOOP(e, staged * kWeightRows / kOwnRows) {
      const int row = static_cast<int>(e) * kOwnRows / kWeightRows, i = static_cast<int>(e) * kOwnRows % kWeightRows;
      const float* from = dy + int64_t{1} * (begin + row) * shape.k + k0 + i;
      float* to = &gradient[row * kWeightRows + i];
      if (k0 + i + kOwnRows <= shape.k)
        for_lanes<kOwnRows>([&](int v) { to[v] = from[v]; });
      else
        for (int v = 0; v < kOwnRows; ++v) to[v] = k0 + i + v < shape.k ? from[v] : 0.0f;
    }
    block_sync();
    for (int first = 0; first < staged; first += chunk) {
      const int last = first + chunk < staged ? first + chunk : staged;
      float* sum = tree.begin((begin + first) / chunk);
      for (int i = 0; i < kOwnRows; i += kAtOnceRows) {
        for (int j = 0; j < kOwnColumns && c0 + j <= shape.c; j += kAtOnceColumns) {
          float acc[kAtOnceRows][kAtOnceColumns] = {};
          for (int row = first; row < last; ++row) {
            const float* in = &input[row * kWeightColumns + own_column + j];
            const float* g = &gradient[row * kWeightRows + own_row + i];
            for (int a = 0; a < kAtOnceRows; ++a)
              for (int v = 0; v < kAtOnceColumns; ++v) acc[a][v] = fmaf(g[a], in[v], acc[a][v]);
          }
          for (int a = 0; a < kAtOnceRows; ++a)
            for (int v = 0; v < kAtOnceColumns; ++v) sum[(i + a) * kOwnColumns + j + v] = acc[a][v];
        }
      }
    }
    block_sync();
  }
  const float* total = tree.total();
  for (int i = 0; i < kOwnRows && k0 + own_row + i < shape.k; ++i) {
    const int k = k0 + own_row + i, first = c0 + own_column;
    const float* own = total + i * kOwnColumns;
    float* to = dweight + int64_t{1} * k * shape.c + first;
    if (first + kOwnColumns <= shape.c) {
      for_lanes<kOwnColumns>([&](int j) { to[j] = own[j]; });
    } else {
      for (int j = 0; j < kOwnColumns; ++j) {
        if (first + j < shape.c)
          to[j] = own[j];
        else if (first + j == shape.c && dbias)
          dbias[k] = own[j];
      }
    }
  }
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
  const Dim3 grid(ceil_div(shape.n, kDataRows), ceil_div(shape.c, kDataColumns));
  launch<linear_backward_data_kernel>("linear_backward_data", grid, kBackwardThreads, 0, stream, dx,
                                      write == Write::Add, dy, x, weight, shape);
}

void linear_backward_weight(Stream& stream, float* dweight, float* dbias, const float* dy, const float* x,
                            const LinearShape& shape) {
  check_linear("linear_backward_weight", shape);
  const int chunk = images_per_chunk();
  ITO_CHECK(chunk >= 1 && chunk <= kMostChunk, "linear_backward_weight: images_per_chunk() is ", chunk,
            ", expected 1 to ", kMostChunk);
  check_leaves("linear_backward_weight", ceil_div(shape.n, chunk));
  const Dim3 grid(ceil_div(shape.c + (dbias ? 1 : 0), kWeightColumns), ceil_div(shape.k, kWeightRows));
  launch<linear_backward_weight_kernel>("linear_backward_weight", grid, kBackwardThreads, 0, stream, dweight, dbias, dy,
                                        x, shape, chunk);
}

}  // namespace ito
