// SPDX-License-Identifier: Apache-2.0
// Channel concatenation and its gradient: y (rows, CA + CB) = [a (rows, CA), b (rows, CB)]. A block walks
// kRowsPerBlock rows and spreads over channels, so nothing divides and every access is contiguous.
// Bytes an element: one read, one write (Write::Add: one read more). Values are copied, never rounded.
#include "kernels/nn/concat.h"

#include "dialect.h"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

template <class T>
KERNEL void concat_channels_kernel(T* y, const T* a, const T* b, int64_t rows, int ca, int cb) {
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) {
    T* row = y + r * (ca + cb);
    BLOCK_LOOP(k, ca) row[k] = a[r * ca + k];
    BLOCK_LOOP(k, cb) row[ca + k] = b[r * cb + k];
  }
}

// One side: d (rows, width) (+)= columns [first, first + width) of dy (rows, c).
template <class T>
KERNEL void take_channels_kernel(T* d, bool add, const T* dy, int64_t rows, int c, int first, int width) {
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) {
    const T* row = dy + r * c + first;
    if (add) {
      BLOCK_LOOP(k, width) d[r * width + k] = from_float<T>(to_float(d[r * width + k]) + to_float(row[k]));
    } else {
      BLOCK_LOOP(k, width) d[r * width + k] = row[k];
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
    launch<concat_channels_kernel<T>>("concat_channels", Dim3(ceil_div(rows, kRowsPerBlock)),
                                      row_threads(ca > cb ? ca : cb), 0, stream, y.as<T>(), a.as<T>(), b.as<T>(), rows,
                                      ca, cb);
  });
}

void split_channels(Stream& stream, DataRef da, Write write_a, DataRef db, Write write_b, ConstDataRef dy, int64_t rows,
                    int ca, int cb) {
  ITO_CHECK(rows >= 0 && ca > 0 && cb > 0, "split_channels: ", rows, " rows of ", ca, " and ", cb,
            " channels, expected positive sizes");
  by_type(dy.type, [&](auto tag) {
    using T = decltype(tag);
    const Dim3 grid(ceil_div(rows, kRowsPerBlock));
    if (da) {
      launch<take_channels_kernel<T>>("split_channels", grid, row_threads(ca), 0, stream, da.as<T>(),
                                      write_a == Write::Add, dy.as<T>(), rows, ca + cb, 0, ca);
    }
    if (db) {
      launch<take_channels_kernel<T>>("split_channels", grid, row_threads(cb), 0, stream, db.as<T>(),
                                      write_b == Write::Add, dy.as<T>(), rows, ca + cb, ca, cb);
    }
  });
}

}  // namespace ito
