// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding by a table; formulas in rope.h. A block walks kRowsPerBlock tokens and spreads over packs
// of their channels; a pack lies in one head. The table of a token is read once a head, from cache.
// Bytes an element: 2 s, + s added. Refused: angles computed here, whose sines cost more than the table's bytes.
#include "kernels/nn/rope.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

template <class T, int V, bool ADD>
KERNEL void rope_kernel(T* y, const T* x, const float* table, float direction, RopeShape shape) {
  const int64_t rows = int64_t{1} * shape.n * shape.tokens, begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  const int c = shape.heads * shape.head_dim;
  for (int64_t r = begin; r < end; ++r) {
    const float* of_token = table + r % shape.tokens * shape.head_dim;
    BLOCK_LOOP(k, c / V) {
      const int j = static_cast<int>(k) * V;
      float in[V], turn[V], out[V] = {};
      load_floats(in, x + r * c + j);
      load_floats(turn, of_token + j % shape.head_dim);
      if constexpr (ADD) load_floats(out, y + r * c + j);
      for_lanes<V / 2>([&](int v) {
        const float cosine = turn[2 * v], sine = direction * turn[2 * v + 1];
        const float first = fmaf(in[2 * v], cosine, -(in[2 * v + 1] * sine));
        const float second = fmaf(in[2 * v + 1], cosine, in[2 * v] * sine);
        out[2 * v] = ADD ? out[2 * v] + first : first;
        out[2 * v + 1] = ADD ? out[2 * v + 1] + second : second;
      });
      store_floats(y + r * c + j, out);
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void rope(Stream& stream, DataRef y, Write write, ConstDataRef x, const float* table, bool back,
          const RopeShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.tokens > 0 && shape.heads > 0 && shape.head_dim > 0 && shape.head_dim % 2 == 0,
            "rope: N ", shape.n, ", tokens ", shape.tokens, ", heads ", shape.heads, " of ", shape.head_dim,
            ", expected positive sizes and an even width");
  check_same_type("rope", y.type, x.type);
  ITO_CHECK(aligned({y.data, x.data, table}),
            "rope: a tensor is not aligned to 16 bytes; take it from an aligned arena");
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T, 2>(shape.head_dim, {}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      const Dim3 grid(ceil_div(int64_t{1} * shape.n * shape.tokens, kRowsPerBlock));
      const auto run = [&](auto add) {
        launch<rope_kernel<T, V, decltype(add)::value>>("rope", grid, row_threads(shape.heads * shape.head_dim / V), 0,
                                                        stream, y.as<T>(), x.as<T>(), table, back ? -1.0f : 1.0f,
                                                        shape);
      };
      write == Write::Add ? run(std::true_type{}) : run(std::false_type{});
    });
  });
}

}  // namespace ito
