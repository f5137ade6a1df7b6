// SPDX-License-Identifier: Apache-2.0
// Elementwise operations, one element an item, and the sums over rows that are their gradients.
// Bytes an element: what is read plus what is written, once each; Write::Add reads its target too.
// Sums: a block owns 32 channels and walks its rows; on a GPU eight groups of 32 threads take every eighth row and are
// folded in order. Each thread folds runs of 64 rows, so that the error grows as 64 + rows / 64 roundings, not as rows.
// Refused: one block a channel (its reads would not coalesce in NHWC), and atomics (order of arrival).
#include "kernels/nn/pointwise.h"

#include "dialect.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

constexpr int kStrip = 32;  // channels a summing block owns
constexpr int kSumThreads = 256;
constexpr int kRun = 64;               // rows a thread sums before folding into its total
constexpr int64_t kDivideSpan = 4096;  // elements of a row a dividing block owns

template <class T>
DEVICE void add_scaled_element(int64_t i, T* y, const T* a, const T* b, float scale) {
  y[i] = from_float<T>(scale * (to_float(a[i]) + to_float(b[i])));
}

template <class T>
DEVICE void scale_element(int64_t i, T* y, const T* a, float scale) {
  y[i] = from_float<T>(scale * to_float(a[i]));
}

template <class T>
DEVICE void accumulate_element(int64_t i, T* y, const T* x, float scale) {
  y[i] = from_float<T>(fmaf(scale, to_float(x[i]), to_float(y[i])));
}

template <class T>
DEVICE void affine_element(int64_t i, T* y, const T* x, float a, float b) {
  y[i] = from_float<T>(fmaf(a, to_float(x[i]), b));
}

template <class T>
DEVICE void silu_forward_element(int64_t i, T* y, const T* x) {
  const float v = to_float(x[i]);
  y[i] = from_float<T>(v * sigmoid(v));
}

template <class T, bool kAdd>
DEVICE void silu_backward_element(int64_t i, T* dx, const T* dy, const T* x) {
  write_element(dx, i, kAdd, to_float(dy[i]) * silu_gradient(to_float(x[i])));
}

template <class To, class From>
DEVICE void convert_element(int64_t i, To* y, const From* x) {
  y[i] = from_float<To>(to_float(x[i]));
}

struct EpilogueArguments {
  const float* bias;
  float scale;
};

// A block walks kRowsPerBlock pixels of one image: no division an element.
template <class T>
KERNEL void add_epilogue_kernel(T* y, const T* x, const T* residual, EpilogueArguments arguments, int hw, int c) {
  const int64_t blocks = ceil_div(hw, kRowsPerBlock);
  const int64_t image = blockIdx.x / blocks;
  const int64_t begin = blockIdx.x % blocks * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < hw ? begin + kRowsPerBlock : hw;
  const float* bias = arguments.bias;
  for (int64_t p = begin; p < end; ++p) {
    const int64_t row = (image * hw + p) * c;
    BLOCK_LOOP(k, c) {
      float v = to_float(x[row + k]);
      if (bias) v += bias[k];
      if (residual) v += to_float(residual[row + k]);
      y[row + k] = from_float<T>(arguments.scale * v);
    }
  }
}

template <class T>
KERNEL void divide_rows_kernel(T* y, bool add, const T* x, const float* t, int64_t row) {
  const int64_t blocks = ceil_div(row, kDivideSpan);
  const int64_t image = blockIdx.x / blocks;
  const int64_t begin = blockIdx.x % blocks * kDivideSpan;
  const int64_t width = begin + kDivideSpan < row ? kDivideSpan : row - begin;
  const float divisor = t[image];
  BLOCK_LOOP(j, width) {
    const int64_t i = image * row + begin + j;
    write_element(y, i, add, to_float(x[i]) / divisor);
  }
}

// out[group][channel] = sum of x over the group's rows; block = (group, strip of channels).
template <class T, int NT>
KERNEL void column_sum_kernel(float* out, const T* x, int64_t group_rows, int64_t rows, int c) {
  constexpr int kColumns = NT < kStrip ? NT : kStrip;
  constexpr int kTeams = NT / kColumns;  // rows read at a time
  constexpr int kOwn = kStrip / kColumns;
  SHARED(float, team_sum, kTeams* kStrip);
  const int64_t strips = ceil_div(c, kStrip);
  const int64_t group = blockIdx.x / strips;
  const int first = static_cast<int>(blockIdx.x % strips) * kStrip;
  const int width = c - first < kStrip ? c - first : kStrip;
  const int column = static_cast<int>(threadIdx.x) % kColumns, team = static_cast<int>(threadIdx.x) / kColumns;
  const int64_t last = (group + 1) * group_rows < rows ? (group + 1) * group_rows : rows;

  float total[kOwn] = {};
  for (int64_t begin = group * group_rows; begin < last; begin += kRun * kTeams) {
    const int64_t end = begin + kRun * kTeams < last ? begin + kRun * kTeams : last;
    float sum[kOwn] = {};
    for (int64_t r = begin + team; r < end; r += kTeams) {
      const T* row = x + r * c + first;
      for_own_columns<kStrip, kColumns>(column, width, [&](int k, int j) { sum[k] += to_float(row[j]); });
    }
    for (int k = 0; k < kOwn; ++k) total[k] += sum[k];
  }
  for (int k = 0; k < kOwn; ++k) team_sum[team * kStrip + column + k * kColumns] = total[k];
  block_sync();
  BLOCK_LOOP(j, width) {
    float sum = team_sum[j];
    for (int g = 1; g < kTeams; ++g) sum += team_sum[g * kStrip + j];
    out[group * c + first + j] = sum;
  }
}

void check_count(const char* kernel, int64_t count) {
  ITO_CHECK(count >= 0, kernel, ": count is ", count, ", expected 0 or more");
}

void check_same_type(const char* kernel, DType y, DType x) {
  ITO_CHECK(y == x, kernel, ": the output is ", name_of(y), " and an input ", name_of(x),
            ", expected one type; use convert");
}

}  // namespace

void add_scaled(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b, float scale, int64_t count) {
  check_count("add_scaled", count);
  check_same_type("add_scaled", y.type, a.type);
  if (b) check_same_type("add_scaled", y.type, b.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (b)
      for_each<add_scaled_element<T>>("add_scaled", count, stream, y.as<T>(), a.as<T>(), b.as<T>(), scale);
    else
      for_each<scale_element<T>>("add_scaled", count, stream, y.as<T>(), a.as<T>(), scale);
  });
}

void accumulate(Stream& stream, DataRef y, Write write, ConstDataRef x, float scale, int64_t count) {
  check_count("accumulate", count);
  check_same_type("accumulate", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (write == Write::Add)
      for_each<accumulate_element<T>>("accumulate", count, stream, y.as<T>(), x.as<T>(), scale);
    else
      for_each<scale_element<T>>("accumulate", count, stream, y.as<T>(), x.as<T>(), scale);
  });
}

void affine(Stream& stream, DataRef y, ConstDataRef x, float a, float b, int64_t count) {
  check_count("affine", count);
  check_same_type("affine", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<affine_element<T>>("affine", count, stream, y.as<T>(), x.as<T>(), a, b);
  });
}

void silu_forward(Stream& stream, DataRef y, ConstDataRef x, int64_t count) {
  check_count("silu_forward", count);
  check_same_type("silu_forward", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<silu_forward_element<T>>("silu_forward", count, stream, y.as<T>(), x.as<T>());
  });
}

void silu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, int64_t count) {
  check_count("silu_backward", count);
  check_same_type("silu_backward", dx.type, dy.type);
  check_same_type("silu_backward", dx.type, x.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    if (write == Write::Add)
      for_each<silu_backward_element<T, true>>("silu_backward", count, stream, dx.as<T>(), dy.as<T>(), x.as<T>());
    else
      for_each<silu_backward_element<T, false>>("silu_backward", count, stream, dx.as<T>(), dy.as<T>(), x.as<T>());
  });
}

void convert(Stream& stream, DataRef y, ConstDataRef x, int64_t count) {
  check_count("convert", count);
  by_type(y.type, [&](auto to) {
    by_type(x.type, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      for_each<convert_element<To, From>>("convert", count, stream, y.as<To>(), x.as<From>());
    });
  });
}

void add_epilogue(Stream& stream, DataRef y, ConstDataRef x, const PointwiseEpilogue& epilogue, int n, int hw, int c) {
  ITO_CHECK(n >= 0 && hw > 0 && c > 0, "add_epilogue: N ", n, ", HW ", hw, ", C ", c, ", expected positive sizes");
  check_same_type("add_epilogue", y.type, x.type);
  if (epilogue.residual) check_same_type("add_epilogue", y.type, epilogue.residual.type);
  const EpilogueArguments arguments{epilogue.bias, epilogue.scale};
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    launch<add_epilogue_kernel<T>>("add_epilogue", Dim3(n * ceil_div(hw, kRowsPerBlock)), row_threads(c), 0, stream,
                                   y.as<T>(), x.as<T>(), epilogue.residual.as<T>(), arguments, hw, c);
  });
}

void divide_rows(Stream& stream, DataRef y, Write write, ConstDataRef x, const float* t, int n, int64_t row) {
  ITO_CHECK(n >= 0 && row > 0, "divide_rows: N ", n, ", row ", row, ", expected positive sizes");
  check_same_type("divide_rows", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    launch<divide_rows_kernel<T>>("divide_rows", Dim3(n * ceil_div(row, kDivideSpan)), 256, 0, stream, y.as<T>(),
                                  write == Write::Add, x.as<T>(), t, row);
  });
}

void sum_rows(Stream& stream, float* dbias, ConstDataRef dy, float* partial, int n, int hw, int c) {
  ITO_CHECK(n > 0 && hw > 0 && c > 0, "sum_rows: N ", n, ", HW ", hw, ", C ", c, ", expected positive sizes");
  const int64_t chunk = images_per_chunk();
  by_type(dy.type, [&](auto tag) {
    using T = decltype(tag);
    constexpr int NT = block_threads(kSumThreads);
    const int64_t groups = ceil_div(n, chunk);
    launch<column_sum_kernel<T, NT>>("sum_rows", Dim3(groups * ceil_div(c, kStrip)), NT, 0, stream, partial, dy.as<T>(),
                                     chunk * hw, int64_t{n} * hw, c);
  });
  fold_tree(stream, dbias, partial, ceil_div(n, chunk), 1, c);
}

}  // namespace ito
