// SPDX-License-Identifier: Apache-2.0
// A function of floats mapped over the elements of its operands: what every elementwise kernel is. The function is a
// struct with kOperands and operator(); the cut is described in pointwise.cu. Include after "dialect.h".
#pragma once
#include "kernels/nn/rows.cuh"

namespace ito {

inline constexpr int kMapThreads = block_threads(256);
inline constexpr int kAtOnce = 2;                           // packs of an operand that a thread has under way
inline constexpr int64_t kMapSpan = kMapThreads * kAtOnce;  // packs that a block owns

template <class F, class From>
struct Operands {
  const From* of[F::kOperands];
  DEVICE Operands from(int64_t i) const {
    Operands moved;
    for (int k = 0; k < F::kOperands; ++k) moved.of[k] = of[k] + i;
    return moved;
  }
};

// f of the operands x(0), x(1), ..
template <class F, class X>
DEVICE float apply(const F& f, X&& x) {
  if constexpr (F::kOperands == 1)
    return f(x(0));
  else if constexpr (F::kOperands == 2)
    return f(x(0), x(1));
  else
    return f(x(0), x(1), x(2));
}

template <class F, class To, class From>
DEVICE void map_element(int64_t i, F f, To* y, Operands<F, From> x) {
  y[i] = from_float<To>(apply(f, [&](int k) { return to_float(x.of[k][i]); }));
}

// The block's threads over the first `packs` packs of V elements, at most kMapSpan. y may be an operand.
template <int V, class F, class To, class From>
DEVICE void map_packs(const F& f, To* y, const Operands<F, From>& x, int64_t packs) {
  Packed<From, V> in[kAtOnce][F::kOperands];
  const auto pack_of = [&](int a) { return static_cast<int64_t>(threadIdx.x) + a * kMapThreads; };
  for_lanes<kAtOnce>([&](int a) {
    if (pack_of(a) < packs)
      for_lanes<F::kOperands>([&](int k) { in[a][k] = Packed<From, V>::load(x.of[k] + pack_of(a) * V); });
  });
  for_lanes<kAtOnce>([&](int a) {
    if (pack_of(a) < packs) {
      float out[V];
      for_lanes<V>([&](int v) { out[v] = apply(f, [&](int k) { return to_float(in[a][k][v]); }); });
      store_floats(y + pack_of(a) * V, out);
    }
  });
}

template <int V, class F, class To, class From>
KERNEL void map_packs_kernel(F f, To* y, Operands<F, From> x, int64_t count) {
  const int64_t packs = count / V, first = blockIdx.x * kMapSpan;
  map_packs<V>(f, y + first * V, x.from(first * V), packs - first);
  if (blockIdx.x == gridDim.x - 1) BLOCK_LOOP(i, count - packs * V) map_element(packs * V + i, f, y, x);
}

// Elements of a pack: 16 bytes of the wider type.
template <class To, class From>
inline constexpr int kMapPack = 16 / static_cast<int>(sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From));

// y = f(x, ..), `count` elements.
template <class F, class To, class From, class... More>
void map(const char* name, Stream& stream, int64_t count, const F& f, To* y, const From* x, const More*... more) {
  const Operands<F, From> operands{{x, more...}};
  if constexpr (WARP > 1) {
    constexpr int V = kMapPack<To, From>;
    if (aligned({y, x, more...})) {
      const Dim3 grid(ceil_div(count, V * kMapSpan));
      return launch<map_packs_kernel<V, F, To, From>>(name, grid, kMapThreads, 0, stream, f, y, operands, count);
    }
  }
  for_each<map_element<F, To, From>>(name, count, stream, f, y, operands);
}

inline void check_count(const char* kernel, int64_t count) {
  ITO_CHECK(count >= 0, kernel, ": count is ", count, ", expected 0 or more");
}

inline void check_same_type(const char* kernel, DType y, DType x) {
  ITO_CHECK(y == x, kernel, ": the output is ", name_of(y), " and an input ", name_of(x),
            ", expected one type; use convert");
}

}  // namespace ito
