// SPDX-License-Identifier: Apache-2.0
// Largest and mean of windows, NHWC; definitions in windows.h. Every output row (n, p) is one block, which walks q and
// spreads over packs of channels: reads and writes are wide and contiguous, and a window is cut to the image once for
// all channels. Bytes an output element: S^2 s read, of which caches serve what neighbouring windows share, and s
// written. Refused: the sum of a row kept for the window below, which saves reads that come from cache.
#include "kernels/nn/windows.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"

namespace ito {
namespace {

// What window i of an axis has of its `length` pixels: [begin, end).
struct Inside {
  int begin, end;
  DEVICE Inside(int i, int length, const WindowShape& shape) {
    const int first = i * shape.stride - shape.pad;
    begin = first < 0 ? 0 : first;
    end = first + shape.size < length ? first + shape.size : length;
  }
};

struct Largest {
  static constexpr float kStart = -INFINITY;
  DEVICE static float joined(float a, float b) { return b > a || b != b ? b : a; }
  DEVICE static float finished(float a, float) { return a; }
};
struct Mean {
  static constexpr float kStart = 0.0f;
  DEVICE static float joined(float a, float b) { return a + b; }
  DEVICE static float finished(float a, float pixels) { return a / pixels; }
};

template <class F, class T, int V>
KERNEL void window_kernel(T* y, const T* x, WindowShape s, int out_h, int out_w) {
  const T* image = x + blockIdx.x / out_h * int64_t{s.h} * s.w * s.c;
  const Inside rows(static_cast<int>(blockIdx.x % out_h), s.h, s);
  T* to = y + int64_t{blockIdx.x} * out_w * s.c;
  for (int q = 0; q < out_w; ++q) {
    const Inside columns(q, s.w, s);
    const auto pixels = static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
    BLOCK_LOOP(k, s.c / V) {
      float all[V], own[V];
      for_lanes<V>([&](int v) { all[v] = F::kStart; });
      for (int h = rows.begin; h < rows.end; ++h) {
        for (int w = columns.begin; w < columns.end; ++w) {
          load_floats(own, image + (int64_t{h} * s.w + w) * s.c + k * V);
          for_lanes<V>([&](int v) { all[v] = F::joined(all[v], own[v]); });
        }
      }
      for_lanes<V>([&](int v) { all[v] = F::finished(all[v], pixels); });
      store_floats(to + int64_t{q} * s.c + k * V, all);
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

template <class F>
static void launch_windows(const char* name, Stream& stream, DataRef y, ConstDataRef x, int n, const WindowShape& s) {
  check_same_type(name, y.type, x.type);
  ITO_CHECK(n >= 0 && s.h > 0 && s.w > 0 && s.c > 0 && s.stride > 0 && s.pad >= 0 && s.pad < s.size &&
                s.h + 2 * s.pad >= s.size && s.w + 2 * s.pad >= s.size,
            name, ": n=", n, " h=", s.h, " w=", s.w, " c=", s.c, " size=", s.size, " stride=", s.stride, " pad=", s.pad,
            ", expected positive sizes, windows within the padded image, and less padding than window");
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({s.c}, {y.data, x.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<window_kernel<F, T, V>>(name, Dim3(int64_t{n} * s.out_h()), row_threads(s.c / V), 0, stream, y.as<T>(),
                                     x.as<T>(), s, s.out_h(), s.out_w());
    });
  });
}

void window_max(Stream& stream, DataRef y, ConstDataRef x, int n, const WindowShape& shape) {
  launch_windows<Largest>("window_max", stream, y, x, n, shape);
}

void window_mean(Stream& stream, DataRef y, ConstDataRef x, int n, const WindowShape& shape) {
  launch_windows<Mean>("window_mean", stream, y, x, n, shape);
}

}  // namespace ito
