// SPDX-License-Identifier: Apache-2.0
// Softmax of rows of scores and its backward; formulas and shapes in softmax_rows.h.
// The cut: a warp a row (a thread where a block is one), a lane strips of neighbouring columns, so that nothing waits
// for another warp and loads are 16 bytes. A lane sums its own columns in order, then the warp as a butterfly: the
// order is a function of the columns alone.
// Memory: forward, scores are read three times (maximum, sum, result), the second and third time from L1, and p is
// written: 4 + s bytes an element with s the size of p's type. Backward, scores and dp are read twice, p and ds
// written: 8 + 2 s bytes. The exponential is computed anew where it is needed: that costs less than to store it.
// Refused: the row in registers, whose number would make a kernel of each width.
#include "kernels/nn/softmax_rows.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = block_threads(256);
constexpr int kTeams = kThreads / WARP;  // rows of a block
constexpr int kStrip = WARP == 1 ? 16 : 4;

using Strip = Packed<float, kStrip>;

// Columns j to j + kStrip of a row, `beyond` where it has ended.
DEVICE Strip load_strip(const float* row, int j, int columns, float beyond) {
  if (j + kStrip <= columns) return Strip::load(row + j);
  Strip strip;
  for (int v = 0; v < kStrip; ++v) strip[v] = j + v < columns ? row[j + v] : beyond;
  return strip;
}

template <class T>
DEVICE void store_strip(T* row, int j, int columns, const Strip& strip) {
  Packed<T, kStrip> out;
  for (int v = 0; v < kStrip; ++v) out[v] = from_float<T>(strip[v]);
  if (j + kStrip <= columns) {
    out.store(row + j);
  } else {
    for (int v = 0; v < kStrip; ++v)
      if (j + v < columns) row[j + v] = out[v];
  }
}

// The lane's columns, then those of the warp's other lanes.
DEVICE float sum_of_row(const Strip& lane) {
  float sum = 0;
  for (int v = 0; v < kStrip; ++v) sum += lane[v];
  return warp_sum(sum);
}

// Calls f(first column) for each of the lane's strips.
template <class F>
DEVICE void for_strips(int columns, F&& f) {
  for (int j = static_cast<int>(threadIdx.x) % WARP * kStrip; j < columns; j += WARP * kStrip) f(j);
}

DEVICE int64_t row_of_warp() {
  return int64_t{1} * blockIdx.x * kTeams + threadIdx.x / WARP;
}

template <class T>
KERNEL void softmax_rows_forward_kernel(T* p, float* lse, const float* scores, SoftmaxRows shape) {
  const int64_t row = row_of_warp();
  if (row < shape.rows) {
    const int columns = shape.columns;
    const float* from = scores + row * shape.pitch;
    T* to = p + row * shape.pitch;
    Strip lane;
    for (int v = 0; v < kStrip; ++v) lane[v] = -INFINITY;
    for_strips(columns, [&](int j) {
      const Strip s = load_strip(from, j, columns, -INFINITY);
      for (int v = 0; v < kStrip; ++v) lane[v] = s[v] > lane[v] ? s[v] : lane[v];
    });
    float top = lane[0];
    for (int v = 1; v < kStrip; ++v) top = lane[v] > top ? lane[v] : top;
    top = warp_max(top);
    for (int v = 0; v < kStrip; ++v) lane[v] = 0.0f;
    for_strips(columns, [&](int j) {
      const Strip s = load_strip(from, j, columns, -INFINITY);
      for (int v = 0; v < kStrip; ++v) lane[v] += fast_exp(s[v] - top);  // 0 beyond the row
    });
    const float sum = sum_of_row(lane), factor = 1.0f / sum;
    for_strips(columns, [&](int j) {
      Strip s = load_strip(from, j, columns, -INFINITY);
      for (int v = 0; v < kStrip; ++v) s[v] = factor * fast_exp(s[v] - top);
      store_strip(to, j, columns, s);
    });
    if (threadIdx.x % WARP == 0) lse[row] = top + fast_log(sum);
  }
}

template <class T>
KERNEL void softmax_rows_backward_kernel(T* p, T* ds, const float* scores, const float* dp, const float* lse,
                                         SoftmaxRows shape, float scale) {
  const int64_t row = row_of_warp();
  if (row < shape.rows) {
    const int columns = shape.columns;
    const int64_t at = row * shape.pitch;
    const float row_lse = lse[row];
    Strip lane;
    for (int v = 0; v < kStrip; ++v) lane[v] = 0.0f;
    for_strips(columns, [&](int j) {
      const Strip s = load_strip(scores + at, j, columns, -INFINITY), g = load_strip(dp + at, j, columns, 0.0f);
      for (int v = 0; v < kStrip; ++v) lane[v] = fmaf(fast_exp(s[v] - row_lse), g[v], lane[v]);
    });
    const float delta = sum_of_row(lane);
    for_strips(columns, [&](int j) {
      Strip s = load_strip(scores + at, j, columns, -INFINITY), g = load_strip(dp + at, j, columns, 0.0f);
      for (int v = 0; v < kStrip; ++v) {
        s[v] = fast_exp(s[v] - row_lse);
        g[v] = scale * (s[v] * (g[v] - delta));
      }
      store_strip(p + at, j, columns, s);
      store_strip(ds + at, j, columns, g);
    });
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_softmax_rows(const char* kernel, const SoftmaxRows& shape, bool aligned_memory) {
  ITO_CHECK(shape.rows >= 0 && shape.columns > 0 && shape.pitch >= shape.columns && shape.pitch % 16 == 0, kernel,
            ": rows=", shape.rows, " columns=", shape.columns, " pitch=", shape.pitch,
            ", expected positive columns and a pitch that holds them and is a multiple of 16");
  ITO_CHECK(ceil_div(shape.rows, kTeams) <= INT32_MAX, kernel, ": ", shape.rows, " rows are more than a launch takes");
  ITO_CHECK(aligned_memory, kernel, ": a matrix is not aligned to 16 bytes; take it from an aligned arena");
}

static bool is_aligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % 16 == 0;
}

void softmax_rows_forward(Stream& stream, DataRef p, float* lse, const float* scores, const SoftmaxRows& shape) {
  check_softmax_rows("softmax_rows_forward", shape, is_aligned(p.data) && is_aligned(scores));
  by_type(p.type, [&](auto zero) {
    using T = decltype(zero);
    launch<softmax_rows_forward_kernel<T>>("softmax_rows_forward", Dim3(ceil_div(shape.rows, kTeams)), kThreads, 0,
                                           stream, p.as<T>(), lse, scores, shape);
  });
}

void softmax_rows_backward(Stream& stream, DataRef p, DataRef ds, const float* scores, const float* dp,
                           const float* lse, const SoftmaxRows& shape, float scale) {
  check_softmax_rows("softmax_rows_backward", shape,
                     is_aligned(p.data) && is_aligned(ds.data) && is_aligned(scores) && is_aligned(dp));
  by_type(p.type, [&](auto zero) {
    using T = decltype(zero);
    launch<softmax_rows_backward_kernel<T>>("softmax_rows_backward", Dim3(ceil_div(shape.rows, kTeams)), kThreads, 0,
                                            stream, p.as<T>(), ds.as<T>(), scores, dp, lse, shape, scale);
  });
}

}  // namespace ito
