// SPDX-License-Identifier: Apache-2.0
// Resampling by two through the filter (1, 3, 3, 1), NHWC. The gradient of up is down times 4 and that of down is up
// over 4, so two kernels do for four launchers; the factors are powers of two, and multiply exactly.
//   down  y = scale sum_ab f_a f_b x[2i - 1 + a, 2j - 1 + b],  f = (1, 3, 3, 1)
//   up    y = scale (far_row + 3 near_row of (far_column + 3 near_column)): near is the pixel that y lies in, far the
//         one that it leans to
// A block makes a row of y. A thread owns packs of channels and walks along the row: it sums columns of x over the
// rows first, each once, and keeps those that the next pixel of y needs in registers. So a line of x comes from memory
// once a row of y that reads it, four times over the height from cache. Every element is one thread's sum in a fixed
// order. Bytes: 4s read and s written an element of the smaller tensor and s an element of the larger one.
// Refused: sharing rows between blocks through shared memory, since the neighbours' reads meet in L2.
#include "kernels/nn/fir_resample.h"

#include "dialect.h"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

template <class T, int V>
DEVICE void add_pixel(float (&sum)[V], float weight, const T* pixel) {
  float in[V];
  load_floats(in, pixel);
  for_lanes<V>([&](int v) { sum[v] = fmaf(weight, in[v], sum[v]); });
}

// to[v] = scale (outer[v] + 3 inner[v]), or that is added.
template <class T, int V>
DEVICE void write_pixel(T* to, bool add, float scale, const float (&outer)[V], const float (&inner)[V]) {
  float out[V];
  for_lanes<V>([&](int v) { out[v] = scale * fmaf(3.0f, inner[v], outer[v]); });
  if (add) add_pixel(out, 1.0f, to);
  store_floats(to, out);
}

// h, w: of y. x is (2h, 2w).
template <class T, int V>
KERNEL void fir_down_kernel(T* y, bool add, const T* x, float scale, int h, int w, int c) {
  const int64_t image = blockIdx.x / h;
  const int top = 2 * static_cast<int>(blockIdx.x % h) - 1, width = 2 * w;
  const T* from = x + image * 2 * h * width * c;
  T* to = y + int64_t{blockIdx.x} * w * c;
  BLOCK_LOOP(k, c / V) {
    const auto column = [&](float(&sum)[V], int q) {
      for_lanes<V>([&](int v) { sum[v] = 0.0f; });
      if (q < 0 || q >= width) return;
      for (int a = 0; a < 4; ++a) {
        const int row = top + a;
        if (row < 0 || row >= 2 * h) continue;
        add_pixel(sum, a == 1 || a == 2 ? 3.0f : 1.0f, from + (int64_t{row} * width + q) * c + k * V);
      }
    };
    float first[V], second[V], third[V], fourth[V];  // columns 2j - 1 to 2j + 2
    column(first, -1);
    column(second, 0);
    for (int j = 0; j < w; ++j) {
      column(third, 2 * j + 1);
      column(fourth, 2 * j + 2);
      float outer[V], inner[V];
      for_lanes<V>([&](int v) {
        outer[v] = first[v] + fourth[v];
        inner[v] = second[v] + third[v];
        first[v] = third[v];
        second[v] = fourth[v];
      });
      write_pixel(to + int64_t{j} * c + k * V, add, scale, outer, inner);
    }
  }
}

// h, w: of x. y is (2h, 2w).
template <class T, int V>
KERNEL void fir_up_kernel(T* y, bool add, const T* x, float scale, int h, int w, int c) {
  const int64_t image = blockIdx.x / (2 * h);
  const int i = static_cast<int>(blockIdx.x % (2 * h)), near = i / 2, far = i % 2 ? near + 1 : near - 1;
  const bool has_far = far >= 0 && far < h;
  const T* from = x + image * h * w * c;
  T* to = y + int64_t{blockIdx.x} * 2 * w * c;
  BLOCK_LOOP(k, c / V) {
    const auto column = [&](float(&sum)[V], int q) {
      for_lanes<V>([&](int v) { sum[v] = 0.0f; });
      if (q >= w) return;
      if (has_far) add_pixel(sum, 1.0f, from + (int64_t{far} * w + q) * c + k * V);
      add_pixel(sum, 3.0f, from + (int64_t{near} * w + q) * c + k * V);
    };
    float left[V] = {}, own[V], right[V];  // columns j - 1 to j + 1
    column(own, 0);
    for (int j = 0; j < w; ++j) {
      column(right, j + 1);
      T* pixels = to + int64_t{2 * j} * c + k * V;
      write_pixel(pixels, add, scale, left, own);
      write_pixel(pixels + c, add, scale, right, own);
      for_lanes<V>([&](int v) {
        left[v] = own[v];
        own[v] = right[v];
      });
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------

struct Shape {
  int n, h, w, c;  // of the smaller tensor
};

void check_shape(const char* kernel, DType y, DType x, const Shape& s) {
  ITO_CHECK(y == x, kernel, ": the output is ", name_of(y), " and the input ", name_of(x), ", expected one type");
  ITO_CHECK(s.n >= 0 && s.h > 0 && s.w > 0 && s.c > 0, kernel, ": the smaller tensor is (", s.n, ", ", s.h, ", ", s.w,
            ", ", s.c, "), expected H, W and C of at least 1");
}

Shape half_of(const char* kernel, int n, int h, int w, int c) {
  ITO_CHECK(h % 2 == 0 && w % 2 == 0, kernel, ": images of ", h, " x ", w, ", expected even sizes");
  return {n, h / 2, w / 2, c};
}

void down(const char* name, Stream& stream, DataRef y, Write write, ConstDataRef x, float scale, const Shape& s) {
  check_shape(name, y.type, x.type, s);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({s.c}, {y.data, x.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<fir_down_kernel<T, V>>(name, Dim3(int64_t{s.n} * s.h), row_threads(s.c / V), 0, stream, y.as<T>(),
                                    write == Write::Add, x.as<T>(), scale, s.h, s.w, s.c);
    });
  });
}

void up(const char* name, Stream& stream, DataRef y, Write write, ConstDataRef x, float scale, const Shape& s) {
  check_shape(name, y.type, x.type, s);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({s.c}, {y.data, x.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<fir_up_kernel<T, V>>(name, Dim3(int64_t{s.n} * 2 * s.h), row_threads(s.c / V), 0, stream, y.as<T>(),
                                  write == Write::Add, x.as<T>(), scale, s.h, s.w, s.c);
    });
  });
}

// Down divides the filter by its sum in both axes; up has four times that, for the zeros between the pixels.
constexpr float kDown = 1.0f / 64, kUp = 1.0f / 16;

}  // namespace

void fir_downsample(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c) {
  down("fir_downsample", stream, y, Write::Set, x, kDown, half_of("fir_downsample", n, h, w, c));
}

void fir_downsample_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c) {
  up("fir_downsample_backward", stream, dx, write, dy, kDown, half_of("fir_downsample_backward", n, h, w, c));
}

void fir_upsample(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c) {
  up("fir_upsample", stream, y, Write::Set, x, kUp, {n, h, w, c});
}

void fir_upsample_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c) {
  down("fir_upsample_backward", stream, dx, write, dy, kUp, {n, h, w, c});
}

}  // namespace ito
