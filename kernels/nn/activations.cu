// SPDX-License-Identifier: Apache-2.0
// ReLU, GELU in both forms, and SwiGLU; formulas in activations.h.
// Phi(-|x|) = exp(-x^2 / 2) t P(t) with t = 1 / (1 + |x| / 4): what is left beside the exponential is smooth in t, and
// P of degree 8 is within 6e-8 of it, relatively, for |x| up to 14 (fitted here, reweighted least squares at Chebyshev
// points); beyond that both the tail and its density are below 1e-40. The tanh form is x sigmoid(2u), the same number.
// Elements: map.cuh. Gated: a block walks kRowsPerBlock rows and spreads over packs of channels, so that nothing
// divides. Bytes: relu and gelu 2 s forward and 3 s backward an element, gated 3 s and 5 s an element of y; + 1 or 2 s
// added. Refused: the derivative kept from the forward, which is a tensor more to write and to read.
#include "kernels/nn/activations.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

// Phi(-|x|), and exp(-x^2 / 2).
struct NormalTail {
  float tail, density;
  DEVICE explicit NormalTail(float x) {
    const float near = clamp_to(14.0f, x), size = fabsf(near);
    const float t = reciprocal(fmaf(size, 0.25f, 1.0f));
    density = fast_exp(-0.5f * near * near);
    float p = 0.0257284101f;
    p = fmaf(p, t, -0.152832359f);
    p = fmaf(p, t, 0.296167552f);
    p = fmaf(p, t, -0.205833375f);
    p = fmaf(p, t, 0.201791495f);
    p = fmaf(p, t, 0.0329143368f);
    p = fmaf(p, t, 0.103750020f);
    p = fmaf(p, t, 0.0985163972f);
    p = fmaf(p, t, 0.0997975096f);
    tail = density * (p * t);
  }
};

// The number itself where it is a number or infinite, NaN for NaN, which clamp_to() loses.
DEVICE float unless_nan(float value, float x) {
  return x == x ? value : x;
}

struct Relu {
  static constexpr int kOperands = 1;
  DEVICE float operator()(float x) const { return x < 0.0f ? 0.0f : x; }
  static DEVICE float slope(float x) { return unless_nan(x > 0.0f ? 1.0f : 0.0f, x); }
};

struct GeluErf {
  static constexpr int kOperands = 1;
  // max(x, 0) - |x| Phi(-|x|): no difference of two numbers near 1.
  DEVICE float operator()(float x) const {
    const float size = fabsf(clamp_to(14.0f, x));
    return (x < 0.0f ? 0.0f : x) - size * NormalTail(x).tail;
  }
  static DEVICE float slope(float x) {
    const NormalTail normal(x);
    const float below = x < 0.0f ? normal.tail : 1.0f - normal.tail;
    return unless_nan(fmaf(clamp_to(14.0f, x) * 0.398942280f, normal.density, below), x);
  }
};

struct GeluTanh {
  static constexpr int kOperands = 1;
  static constexpr float kTwice = 1.59576912f, kCubic = 0.0713548163f;  // 2 sqrt(2 / pi), times 0.044715
  DEVICE float operator()(float x) const { return x * sigmoid(x * fmaf(x * x, kCubic, kTwice)); }
  // s + x s (1 - s) (2u)', by the smaller one of s and 1 - s, which has all its digits. Beyond 16 it is 0 or 1 to the
  // last bit, and the cube stays finite.
  static DEVICE float slope(float x) {
    const float near = clamp_to(16.0f, x), square = near * near, size = fabsf(near);
    const float least = sigmoid(-(size * fmaf(square, kCubic, kTwice)));
    const float inner = near * fmaf(square, 3.0f * kCubic, kTwice);
    const float s = near < 0.0f ? least : 1.0f - least;
    return unless_nan(fmaf(inner * least, 1.0f - least, s), x);
  }
};

template <class F>
struct Slope {
  static constexpr int kOperands = 2;
  DEVICE float operator()(float dy, float x) const { return dy * F::slope(x); }
};
template <class F>
struct SlopeOnto {
  static constexpr int kOperands = 3;
  DEVICE float operator()(float dy, float x, float dx) const { return fmaf(dy, F::slope(x), dx); }
};

// Calls f(index of a row's first number, channel) for the packs of V channels of the block's rows.
template <int V, class F>
DEVICE void for_packs_of_rows(const GatedSiluShape& shape, F&& f) {
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < shape.rows ? begin + kRowsPerBlock : shape.rows;
  for (int64_t r = begin; r < end; ++r) BLOCK_LOOP(k, shape.c / V) f(r * shape.c, k * V);
}

template <class T, int V>
KERNEL void gated_silu_forward_kernel(T* y, const T* x, GatedSiluShape shape) {
  const int value = shape.gate_first ? shape.c : 0, gate = shape.c - value;
  for_packs_of_rows<V>(shape, [&](int64_t row, int64_t j) {
    float a[V], b[V];
    load_floats(a, x + 2 * row + value + j);
    load_floats(b, x + 2 * row + gate + j);
    for_lanes<V>([&](int v) { a[v] *= b[v] * sigmoid(b[v]); });
    store_floats(y + row + j, a);
  });
}

template <class T, int V, bool ADD>
KERNEL void gated_silu_backward_kernel(T* dx, const T* dy, const T* x, GatedSiluShape shape) {
  const int value = shape.gate_first ? shape.c : 0, gate = shape.c - value;
  for_packs_of_rows<V>(shape, [&](int64_t row, int64_t j) {
    const int64_t at_value = 2 * row + value + j, at_gate = 2 * row + gate + j;
    float a[V], b[V], g[V], da[V] = {}, db[V] = {};
    load_floats(a, x + at_value);
    load_floats(b, x + at_gate);
    load_floats(g, dy + row + j);
    if constexpr (ADD) {
      load_floats(da, dx + at_value);
      load_floats(db, dx + at_gate);
    }
    for_lanes<V>([&](int v) {
      const float s = sigmoid(b[v]);
      const float own_a = g[v] * (b[v] * s), own_b = g[v] * a[v] * (s * fmaf(b[v], 1.0f - s, 1.0f));
      da[v] = ADD ? da[v] + own_a : own_a;
      db[v] = ADD ? db[v] + own_b : own_b;
    });
    store_floats(dx + at_value, da);
    store_floats(dx + at_gate, db);
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void relu_forward(Stream& stream, DataRef y, ConstDataRef x, int64_t count) {
  check_count("relu_forward", count);
  check_same_type("relu_forward", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    map("relu_forward", stream, count, Relu{}, y.as<T>(), x.as<T>());
  });
}

template <class F, class T>
static void map_slopes(const char* name, Stream& stream, T* dx, Write write, const T* dy, const T* x, int64_t count) {
  if (write == Write::Add)
    map(name, stream, count, SlopeOnto<F>{}, dx, dy, x, dx);
  else
    map(name, stream, count, Slope<F>{}, dx, dy, x);
}

void relu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, int64_t count) {
  check_count("relu_backward", count);
  check_same_type("relu_backward", dx.type, dy.type);
  check_same_type("relu_backward", dx.type, x.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    map_slopes<Relu>("relu_backward", stream, dx.as<T>(), write, dy.as<T>(), x.as<T>(), count);
  });
}

void gelu_forward(Stream& stream, DataRef y, ConstDataRef x, Gelu form, int64_t count) {
  check_count("gelu_forward", count);
  check_same_type("gelu_forward", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (form == Gelu::Tanh)
      map("gelu_forward", stream, count, GeluTanh{}, y.as<T>(), x.as<T>());
    else
      map("gelu_forward", stream, count, GeluErf{}, y.as<T>(), x.as<T>());
  });
}

void gelu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, Gelu form, int64_t count) {
  check_count("gelu_backward", count);
  check_same_type("gelu_backward", dx.type, dy.type);
  check_same_type("gelu_backward", dx.type, x.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    if (form == Gelu::Tanh)
      map_slopes<GeluTanh>("gelu_backward", stream, dx.as<T>(), write, dy.as<T>(), x.as<T>(), count);
    else
      map_slopes<GeluErf>("gelu_backward", stream, dx.as<T>(), write, dy.as<T>(), x.as<T>(), count);
  });
}

static Dim3 check_gated_silu(const char* kernel, const GatedSiluShape& shape, DType wide, DType narrow) {
  ITO_CHECK(shape.rows >= 0 && shape.c > 0, kernel, ": ", shape.rows, " rows, C ", shape.c,
            ", expected positive sizes");
  check_same_type(kernel, wide, narrow);
  return Dim3(ceil_div(shape.rows, kRowsPerBlock));
}

void gated_silu_forward(Stream& stream, DataRef y, ConstDataRef x, const GatedSiluShape& shape) {
  const Dim3 grid = check_gated_silu("gated_silu_forward", shape, y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.c, {y.data, x.data}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      launch<gated_silu_forward_kernel<T, V>>("gated_silu_forward", grid, row_threads(shape.c / V), 0, stream,
                                              y.as<T>(), x.as<T>(), shape);
    });
  });
}

void gated_silu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x,
                         const GatedSiluShape& shape) {
  const Dim3 grid = check_gated_silu("gated_silu_backward", shape, dx.type, dy.type);
  check_same_type("gated_silu_backward", dx.type, x.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.c, {dx.data, dy.data, x.data}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      const auto run = [&](auto add) {
        launch<gated_silu_backward_kernel<T, V, decltype(add)::value>>(
            "gated_silu_backward", grid, row_threads(shape.c / V), 0, stream, dx.as<T>(), dy.as<T>(), x.as<T>(), shape);
      };
      write == Write::Add ? run(std::true_type{}) : run(std::false_type{});
    });
  });
}

}  // namespace ito
