// SPDX-License-Identifier: Apache-2.0
// How kernels over rows of C channels are cut, so that one text coalesces on a GPU and runs with unit stride on a CPU.
// Include after "dialect.h".
#pragma once
#include <initializer_list>

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

// Channels that are read and written at a time where a row divides into them: 16 bytes on a GPU; on a CPU 32, a loop
// that the compiler keeps until it vectorises.
template <class T>
inline constexpr int kPack = WARP == 1 ? 32 : 16 / static_cast<int>(sizeof(T));

// Whether accesses of 16 bytes may begin at the addresses.
inline bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* p : addresses)
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  return true;
}

// Calls f(integral_constant) with kPack<T> where all of `channels` divide into packs and the addresses are aligned to
// them, else with 1.
template <class T, class F>
void by_pack(std::initializer_list<int> channels, std::initializer_list<const void*> addresses, F&& f) {
  bool whole = aligned(addresses);
  for (const int c : channels) whole = whole && c % kPack<T> == 0;
  if (whole)
    f(std::integral_constant<int, kPack<T>>{});
  else
    f(std::integral_constant<int, 1>{});
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
