// SPDX-License-Identifier: Apache-2.0
// The gated residual sum and its backward; formulas in gate.h. A block walks kRowsPerBlock rows and spreads over packs
// of channels. The gate's gradient is a sum over an image's rows: token_rows.cuh.
// Bytes an element: forward 3 s; backward 2 s for dy, + s added, and 2 s for dgate.
#include "kernels/nn/gate.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

// to = onto + gate y; onto null: gate y.
template <class T, int V>
KERNEL void gate_kernel(T* to, const T* onto, const T* y, const float* gate, GateShape shape) {
  const int64_t rows = int64_t{1} * shape.n * shape.rows, begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) {
    const float* of_image = gate + r / shape.rows * shape.stride;
    BLOCK_LOOP(k, shape.c / V) {
      const int64_t at = r * shape.c + k * V;
      float in[V], g[V], sum[V] = {};
      load_floats(in, y + at);
      load_floats(g, of_image + k * V);
      if (onto) load_floats(sum, onto + at);
      for_lanes<V>([&](int v) { sum[v] = fmaf(g[v], in[v], sum[v]); });
      store_floats(to + at, sum);
    }
  }
}

template <class T>
KERNEL void gate_sums_kernel(float* dgate, bool add, const T* dout, const T* y, GateShape shape) {
  SHARED(float, fold, kSumFold);
  const StripPlace place(blockIdx.x, shape.c);
  const int64_t first_row = place.image * shape.rows;
  sum_tokens<1>(fold, shape.rows, place.width, [&](int r) {
    const int64_t at = (first_row + r) * shape.c + place.first;
    const T *y_row = y + at, *dout_row = dout + at;
    return [=](int j, float(&terms)[1]) { terms[0] = to_float(dout_row[j]) * to_float(y_row[j]); };
  });
  BLOCK_LOOP(j, place.width) write_element(dgate, place.image * shape.stride + place.first + j, add, fold[j]);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_gate(const char* kernel, const GateShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.rows > 0 && shape.c > 0 && (shape.n <= 1 || shape.stride >= shape.c), kernel, ": N ",
            shape.n, ", rows ", shape.rows, ", C ", shape.c, ", gates at distance ", shape.stride,
            ", expected positive sizes and a distance of C at least");
}

template <class T>
static void apply_gate(const char* name, Stream& stream, T* to, const T* onto, const T* y, const float* gate,
                       const GateShape& shape) {
  const void* odd = reinterpret_cast<const void*>(uintptr_t{1});
  by_token_strip<T>(shape.c, {to, onto, y, gate, shape.stride % 4 == 0 ? nullptr : odd}, [&](auto strip) {
    constexpr int V = decltype(strip)::value;
    launch<gate_kernel<T, V>>(name, Dim3(ceil_div(int64_t{1} * shape.n * shape.rows, kRowsPerBlock)),
                              row_threads(shape.c / V), 0, stream, to, onto, y, gate, shape);
  });
}

void gate_forward(Stream& stream, DataRef out, ConstDataRef residual, ConstDataRef y, const float* gate,
                  const GateShape& shape) {
  check_gate("gate_forward", shape);
  check_same_type("gate_forward", out.type, residual.type);
  check_same_type("gate_forward", out.type, y.type);
  by_type(out.type, [&](auto zero) {
    using T = decltype(zero);
    apply_gate<T>("gate_forward", stream, out.as<T>(), residual.as<T>(), y.as<T>(), gate, shape);
  });
}

void gate_backward(Stream& stream, DataRef dy, Write write, float* dgate, Write gate_write, ConstDataRef dout,
                   ConstDataRef y, const float* gate, const GateShape& shape) {
  check_gate("gate_backward", shape);
  by_type(dout.type, [&](auto zero) {
    using T = decltype(zero);
    if (dy)
      apply_gate<T>("gate_backward", stream, dy.as<T>(), write == Write::Add ? dy.as<T>() : nullptr, dout.as<T>(), gate,
                    shape);
    if (dgate)
      launch<gate_sums_kernel<T>>("gate_sums", Dim3(shape.n * ceil_div(shape.c, kStripChannels)), kTokenThreads, 0,
                                  stream, dgate, gate_write == Write::Add, dout.as<T>(), y.as<T>(), shape);
  });
}

}  // namespace ito
