// SPDX-License-Identifier: Apache-2.0
// Channel concatenation and its gradient: y (rows, CA + CB) = [a (rows, CA), b (rows, CB)]. A block walks
// kRowsPerBlock rows and spreads over packs of channels, so nothing divides and every access is wide and contiguous.
// Bytes an element: one read, one write (Write::Add: one read more). Values are copied, never rounded.
#include "kernels/nn/concat.h"

#include "dialect.h"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

template <class T, int V>
KERNEL void concat_channels_kernel(T* y, const T* a, const T* b, int64_t rows, int ca, int cb) {
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) {
    T* row = y + r * (ca + cb);
    BLOCK_LOOP(k, ca / V) Packed<T, V>::load(a + r * ca + k * V).store(row + k * V);
    BLOCK_LOOP(k, cb / V) Packed<T, V>::load(b + r * cb + k * V).store(row + ca + k * V);
  }
}

// One side: d (rows, width) (+)= columns [first, first + width) of dy (rows, c).
template <class T, int V>
KERNEL void take_channels_kernel(T* d, bool add, const T* dy, int64_t rows, int c, int first, int width) {
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) {
    const T* row = dy + r * c + first;
    T* to = d + r * width;
    if (add) {
      BLOCK_LOOP(k, width / V) {
        const auto more = Packed<T, V>::load(row + k * V);
        auto sum = Packed<T, V>::load(to + k * V);
        for (int v = 0; v < V; ++v) sum[v] = from_float<T>(to_float(sum[v]) + to_float(more[v]));
        sum.store(to + k * V);
      }
    } else {
      BLOCK_LOOP(k, width / V) Packed<T, V>::load(row + k * V).store(to + k * V);
    }
  }
}

}  // namespace

void concat_channels(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b, int64_t rows, int ca, int cb) {
  ITO_CHECK(rows >= 0 && ca > 0 && cb > 0, "concat_channels: ", rows, " rows of ", ca, " and ", cb,
            " channels, expected positive sizes");
  ITO_CHECK(y.type == a.type && y.type == b.type, "concat_channels: y is ", name_of(y.type), ", a ", name_of(a.type),
            ", b ", name_of(b.type), ", expected one type");
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({ca, cb}, {y.data, a.data, b.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      launch<concat_channels_kernel<T, V>>("concat_channels", Dim3(ceil_div(rows, kRowsPerBlock)),
                                           row_threads((ca > cb ? ca : cb) / V), 0, stream, y.as<T>(), a.as<T>(),
                                           b.as<T>(), rows, ca, cb);
    });
  });
}

void split_channels(Stream& stream, DataRef da, Write write_a, DataRef db, Write write_b, ConstDataRef dy, int64_t rows,
                    int ca, int cb) {
  ITO_CHECK(rows >= 0 && ca > 0 && cb > 0, "split_channels: ", rows, " rows of ", ca, " and ", cb,
            " channels, expected positive sizes");
  by_type(dy.type, [&](auto tag) {
    using T = decltype(tag);
    const Dim3 grid(ceil_div(rows, kRowsPerBlock));
    by_pack<T>({ca, cb}, {da.data, db.data, dy.data}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      if (da) {
        launch<take_channels_kernel<T, V>>("split_channels", grid, row_threads(ca / V), 0, stream, da.as<T>(),
                                           write_a == Write::Add, dy.as<T>(), rows, ca + cb, 0, ca);
      }
      if (db) {
        launch<take_channels_kernel<T, V>>("split_channels", grid, row_threads(cb / V), 0, stream, db.as<T>(),
                                           write_b == Write::Add, dy.as<T>(), rows, ca + cb, ca, cb);
      }
    });
  });
}

}  // namespace ito
