// SPDX-License-Identifier: Apache-2.0
// Nearest upsampling and 2x2 mean pooling, NHWC. Every output row (n, h) is one block, which walks w and spreads over
// packs of channels: reads and writes are wide and contiguous and no element divides. The gradients gather: each
// element of dx sums the few dy that read it, in order, so nothing is added atomically.
//   nearest: y[n,i,j] = x[n, source(i), source(j)], source(i) = min(floor(i * (float(H) / out_h)), H - 1), the product
//   in fp32 as PyTorch computes it (from ratios of 41 up it can fall one short of floor(i * H / out_h)).
// Bytes an output element: one read and one write (upsample), four reads and one write (pool).
#include "kernels/nn/resample.h"

#include "dialect.h"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

struct Axis {
  float scale;  // float(size) / out
  int size, out;
};

Axis make_axis(int size, int out) {
  return {static_cast<float>(size) / static_cast<float>(out), size, out};
}

DEVICE int source(const Axis& axis, int i) {
  const int index = static_cast<int>(static_cast<float>(i) * axis.scale);
  return index < axis.size - 1 ? index : axis.size - 1;
}

// The outputs [begin, end) that read input i. source() never falls, so they are neighbours; the guess is within two.
struct Readers {
  int begin, end;
};

DEVICE Readers readers_of(const Axis& axis, int i) {
  int begin = static_cast<int>(static_cast<float>(i) / axis.scale) - 2;
  if (begin < 0) begin = 0;
  while (begin < axis.out && source(axis, begin) < i) ++begin;
  int end = begin;
  while (end < axis.out && source(axis, end) == i) ++end;
  return {begin, end};
}

template <class T, int V>
KERNEL void upsample_nearest_kernel(T* y, const T* x, Axis rows, Axis columns, int c) {
  const int64_t image = blockIdx.x / rows.out;
  const int i = static_cast<int>(blockIdx.x % rows.out);
  const T* from = x + (image * rows.size + source(rows, i)) * columns.size * c;
  T* to = y + int64_t{blockIdx.x} * columns.out * c;
  for (int j = 0; j < columns.out; ++j) {
    const T* pixel = from + int64_t{source(columns, j)} * c;
    BLOCK_LOOP(k, c / V) Packed<T, V>::load(pixel + k * V).store(to + int64_t{j} * c + k * V);
  }
}

template <class T, int V>
KERNEL void upsample_nearest_backward_kernel(T* dx, bool add, const T* dy, Axis rows, Axis columns, int c) {
  const int64_t image = blockIdx.x / rows.size;
  const Readers lines = readers_of(rows, static_cast<int>(blockIdx.x % rows.size));
  T* to = dx + int64_t{blockIdx.x} * columns.size * c;
  for (int j = 0; j < columns.size; ++j) {
    const Readers pixels = readers_of(columns, j);
    BLOCK_LOOP(k, c / V) {
      float sum[V] = {};
      for (int p = lines.begin; p < lines.end; ++p) {
        for (int q = pixels.begin; q < pixels.end; ++q) {
          const auto in = Packed<T, V>::load(dy + ((image * rows.out + p) * columns.out + q) * c + k * V);
          for (int v = 0; v < V; ++v) sum[v] += to_float(in[v]);
        }
      }
      T* own = to + int64_t{j} * c + k * V;
      Packed<T, V> out;
      if (add) out = Packed<T, V>::load(own);
      for (int v = 0; v < V; ++v) out[v] = from_float<T>(add ? to_float(out[v]) + sum[v] : sum[v]);
      out.store(own);
    }
  }
}

template <class T>
KERNEL void average_pool_kernel(T* y, const T* x, int h, int w, int c) {
  const int out_h = h / 2, out_w = w / 2;
  const int64_t image = blockIdx.x / out_h, i = blockIdx.x % out_h;
  const T* upper = x + (image * h + 2 * i) * w * c;
  const T* lower = upper + int64_t{w} * c;
  T* to = y + int64_t{blockIdx.x} * out_w * c;
  for (int64_t j = 0; j < out_w; ++j) {
    BLOCK_LOOP(k, c) {
      const int64_t left = 2 * j * c + k, right = left + c;
      const float sum =
          (to_float(upper[left]) + to_float(upper[right])) + (to_float(lower[left]) + to_float(lower[right]));
      to[j * c + k] = from_float<T>(0.25f * sum);
    }
  }
}

template <class T>
KERNEL void average_pool_backward_kernel(T* dx, bool add, const T* dy, int h, int w, int c) {
  const int out_h = h / 2, out_w = w / 2;
  const int64_t image = blockIdx.x / h, i = blockIdx.x % h / 2;
  T* to = dx + int64_t{blockIdx.x} * w * c;
  for (int64_t j = 0; j < w; ++j) {
    const bool pooled = i < out_h && j / 2 < out_w;  // the odd last row and column feed nothing
    const int64_t from = ((image * out_h + i) * out_w + j / 2) * c;
    BLOCK_LOOP(k, c) write_element(to, j * c + k, add, pooled ? 0.25f * to_float(dy[from + k]) : 0.0f);
  }
}

void check_shape(const char* kernel, DType y, DType x, int n, int h, int w, int c, int least) {
  ITO_CHECK(y == x, kernel, ": the output is ", name_of(y), " and the input ", name_of(x), ", expected one type");
  ITO_CHECK(n >= 0 && h >= least && w >= least && c > 0, kernel, ": shape (", n, ", ", h, ", ", w, ", ", c,
            "), expected H and W of at least ", least, " and C of at least 1");
}

}  // namespace

void upsample_nearest(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c, int out_h, int out_w) {
  check_shape("upsample_nearest", y.type, x.type, n, h, w, c, 1);
  ITO_CHECK(out_h > 0 && out_w > 0, "upsample_nearest: output ", out_h, " x ", out_w, ", expected positive sizes");
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({c}, {y.data, x.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<upsample_nearest_kernel<T, V>>("upsample_nearest", Dim3(int64_t{n} * out_h), row_threads(c / V), 0, stream,
                                            y.as<T>(), x.as<T>(), make_axis(h, out_h), make_axis(w, out_w), c);
    });
  });
}

void upsample_nearest_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c,
                               int out_h, int out_w) {
  check_shape("upsample_nearest_backward", dx.type, dy.type, n, h, w, c, 1);
  ITO_CHECK(out_h > 0 && out_w > 0, "upsample_nearest_backward: output ", out_h, " x ", out_w,
            ", expected positive sizes");
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({c}, {dx.data, dy.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<upsample_nearest_backward_kernel<T, V>>("upsample_nearest_backward", Dim3(int64_t{n} * h),
                                                     row_threads(c / V), 0, stream, dx.as<T>(), write == Write::Add,
                                                     dy.as<T>(), make_axis(h, out_h), make_axis(w, out_w), c);
    });
  });
}

void average_pool(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c) {
  check_shape("average_pool", y.type, x.type, n, h, w, c, 2);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    launch<average_pool_kernel<T>>("average_pool", Dim3(int64_t{n} * (h / 2)), row_threads(c), 0, stream, y.as<T>(),
                                   x.as<T>(), h, w, c);
  });
}

void average_pool_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c) {
  check_shape("average_pool_backward", dx.type, dy.type, n, h, w, c, 2);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    launch<average_pool_backward_kernel<T>>("average_pool_backward", Dim3(int64_t{n} * h), row_threads(c), 0, stream,
                                            dx.as<T>(), write == Write::Add, dy.as<T>(), h, w, c);
  });
}

}  // namespace ito
