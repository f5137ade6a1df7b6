// SPDX-License-Identifier: Apache-2.0
// How kernels over rows of C channels are cut, so that one text coalesces on a GPU and runs with unit stride on a CPU.
// Include after "dialect.h".
#pragma once
#include "kernels/types.h"

namespace ito {

inline constexpr int kRowsPerBlock = 8;  // rows of channels a block walks, where rows are independent

// Threads of a block that walks rows of c channels, one channel a thread at a time: whole warps, at most 256.
inline int row_threads(int64_t c) {
  return static_cast<int>(c >= 256 ? 256 : ceil_div(c > 0 ? c : 1, 32) * 32);
}

// y[i] = v, or y[i] += v: Write as a kernel sees it.
template <class T>
DEVICE void write_element(T* y, int64_t i, bool add, float v) {
  y[i] = from_float<T>(add ? to_float(y[i]) + v : v);
}

// A strip of kWidth columns owned by a block of kColumns threads: a thread owns kWidth / kColumns of them, which is one
// on a GPU and the whole strip on a CPU, where the loop below then vectorises. Calls f(own index, column) for each
// owned column below `width`; `first` is the thread's first column.
template <int kWidth, int kColumns, class F>
DEVICE void for_own_columns(int first, int width, F&& f) {
  constexpr int kOwn = kWidth / kColumns;
  if (width == kWidth) {
    for (int k = 0; k < kOwn; ++k) f(k, first + k * kColumns);
  } else {
    for (int k = 0; k < kOwn; ++k) {
      if (first + k * kColumns < width) f(k, first + k * kColumns);
    }
  }
}

}  // namespace ito
