// SPDX-License-Identifier: Apache-2.0
// The dialect where a block is one thread and a warp one lane: what people without a GPU run.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#define DEVICE inline __attribute__((always_inline))
#define KERNEL static

#include "kernels/dialect/host_clock.h"
#include "kernels/dialect/host_math.h"
#include "kernels/dialect/math.h"
#include "kernels/launch_point.h"

namespace ito {

inline constexpr int WARP = 1;
constexpr int block_threads(int) {
  return 1;
}

namespace dialect {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};
inline constexpr Index3 kThread{0, 0, 0};
inline constexpr Dim3 kOneThread{};
inline thread_local Index3 block_index;
inline thread_local Dim3 grid_size;

// Calls body(begin, end) on contiguous shares of [0, n), one a worker. Defined in seams/cpu/device.cpp (OpenMP).
void parallel_chunks(int64_t n, int64_t least, const std::function<void(int64_t, int64_t)>& body);
// The calling worker's scratch for dynamic shared memory, at least that many bytes.
void* worker_scratch(size_t bytes);
inline thread_local void* dynamic_shared = nullptr;

}  // namespace dialect

#define threadIdx (::ito::dialect::kThread)
#define blockDim (::ito::dialect::kOneThread)
#define blockIdx (::ito::dialect::block_index)
#define gridDim (::ito::dialect::grid_size)

#define BLOCK_LOOP(i, n) for (int64_t i = 0, i##_end = (n); i < i##_end; ++i)
#define GRID_LOOP(i, n)                                                                   \
  for (int64_t i = static_cast<int64_t>(n) * blockIdx.x / gridDim.x,                      \
               i##_end = static_cast<int64_t>(n) * (blockIdx.x + int64_t{1}) / gridDim.x; \
       i < i##_end; ++i)
#define SHARED(T, name, n) alignas(64) T name[n]

template <class T>
DEVICE T* dyn_shared() {
  return static_cast<T*>(dialect::dynamic_shared);
}

DEVICE void block_sync() {}
template <class T>
DEVICE T block_sum(T v) {
  return v;
}
template <class T>
DEVICE T block_max(T v) {
  return v;
}
template <class T>
DEVICE T warp_sum(T v) {
  return v;
}
template <class T>
DEVICE T warp_max(T v) {
  return v;
}

template <class T>
DEVICE T atomic_add(T* p, std::type_identity_t<T> v) {
  static_assert(std::is_integral_v<T>, "only integers: a float sum would depend on the order of arrival");
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

DEVICE bool last_block(unsigned* ticket, unsigned blocks) {
  if (__atomic_add_fetch(ticket, 1u, __ATOMIC_ACQ_REL) != blocks) return false;
  __atomic_store_n(ticket, 0u, __ATOMIC_RELAXED);
  return true;
}

template <class T, int N>
struct Packed {
  T v[N];
  DEVICE static Packed load(const T* p) {
    Packed out;
    for (int i = 0; i < N; ++i) out.v[i] = p[i];
    return out;
  }
  DEVICE void store(T* p) const {
    for (int i = 0; i < N; ++i) p[i] = v[i];
  }
  DEVICE T& operator[](int i) { return v[i]; }
  DEVICE const T& operator[](int i) const { return v[i]; }
};

// Calls body(v) for v in [0, V). GCC unrolls loops of up to 16 turns before it vectorises, and does not find
// conversions again in what comes of it: those are kept loops. Longer ones it leaves alone, and unrolls what vectors
// remain.
template <int V, class Body>
DEVICE void for_lanes(Body&& body) {
  if constexpr (V > 16) {
#pragma GCC ivdep
    for (int v = 0; v < V; ++v) body(v);
  } else {
#pragma GCC unroll 1
#pragma GCC ivdep
    for (int v = 0; v < V; ++v) body(v);
  }
}

namespace dialect {

inline constexpr int kVectorFloats = __BIGGEST_ALIGNMENT__ / 4;
using Vector [[gnu::vector_size(__BIGGEST_ALIGNMENT__), gnu::aligned(4), gnu::may_alias]] = float;

}  // namespace dialect

// f[0..V) = p[0..V), widened; p is aligned to the pack's bytes, or to 16.
template <class T, int V>
DEVICE void load_floats(float (&f)[V], const T* p) {
  if constexpr (std::is_same_v<T, float> && V % dialect::kVectorFloats == 0) {
    // A loop would become a memcpy of 16 bytes a time, and the vectors that read them back would wait for each.
    for (int v = 0; v < V; v += dialect::kVectorFloats)
      *reinterpret_cast<dialect::Vector*>(f + v) = *reinterpret_cast<const dialect::Vector*>(p + v);
  } else {
    for_lanes<V>([&](int v) { f[v] = to_float(p[v]); });
  }
}
// p[0..V) = f[0..V), rounded to nearest even.
template <class T, int V>
DEVICE void store_floats(T* p, const float (&f)[V]) {
  if constexpr (std::is_same_v<T, float> && V % dialect::kVectorFloats == 0) {
    for (int v = 0; v < V; v += dialect::kVectorFloats)
      *reinterpret_cast<dialect::Vector*>(p + v) = *reinterpret_cast<const dialect::Vector*>(f + v);
  } else {
    for_lanes<V>([&](int v) { p[v] = from_float<T>(f[v]); });
  }
}

DEVICE void cp_async16(void* shared, const void* global, bool valid = true) {
  if (valid)
    __builtin_memcpy(shared, global, 16);
  else
    __builtin_memset(shared, 0, 16);
}
DEVICE void cp_async_commit() {}
template <int N>
DEVICE void cp_async_wait() {}

// Blocks in contiguous chunks, so that two workers never share a cache line of a counter.
template <auto Kernel, class... Args>
void launch(const char* name, Dim3 grid, int, size_t smem, Stream& stream, Args... args) {
  const int64_t blocks = int64_t{1} * grid.x * grid.y * grid.z;
  if (blocks == 0) return;
  submit(stream, name, [=] {
    dialect::parallel_chunks(blocks, 1, [&](int64_t begin, int64_t end) {
      dialect::grid_size = grid;
      dialect::dynamic_shared = smem ? dialect::worker_scratch(smem) : nullptr;
      for (int64_t b = begin; b < end; ++b) {
        dialect::block_index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                                static_cast<unsigned>(b / grid.x / grid.y)};
        Kernel(args...);
      }
    });
  });
}

template <auto Body, class... Args>
void for_each(const char* name, int64_t n, Stream& stream, Args... args) {
  if (n <= 0) return;
  submit(stream, name, [=] {
    dialect::parallel_chunks(n, 2048, [&](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) Body(i, args...);
    });
  });
}

}  // namespace ito
