// SPDX-License-Identifier: Apache-2.0
// The dialect for tests: blocks as launched, 32 lanes a warp, every thread a fiber, every shared access checked.
// Each word takes its caller's place in the source, so that a report names the kernel's line.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#define DEVICE inline
#define KERNEL static

#include "kernels/dialect/host_clock.h"
#include "kernels/dialect/host_math.h"
#include "kernels/dialect/math.h"
#include "kernels/dialect/sim/executor.h"
#include "kernels/dialect/sim/shared_array.h"
#include "kernels/launch_point.h"

namespace ito {

inline constexpr int WARP = 32;
constexpr int block_threads(int block) {
  return block;
}

#define threadIdx (::ito::dialect::thread_index)
#define blockDim (::ito::dialect::block_size)
#define blockIdx (::ito::dialect::block_index)
#define gridDim (::ito::dialect::grid_size)

#define BLOCK_LOOP(i, n) for (int64_t i = threadIdx.x, i##_end = (n); i < i##_end; i += blockDim.x)
#define GRID_LOOP(i, n)                                                                        \
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, i##_end = (n); i < i##_end; \
       i += int64_t{gridDim.x} * blockDim.x)
#define FRAGMENT_LOOP(i, n) for (int i = 0; i < (n); ++i)
#define SHARED(T, name, n)                                                                        \
  static constinit const ::ito::dialect::SharedSite ito_shared_site_##name{                       \
      #name, sizeof(T), (n), alignof(T), std::is_integral_v<T>, std::source_location::current()}; \
  const ::ito::dialect::SharedArray<T> name(ito_shared_site_##name)

template <class T>
T* dyn_shared(dialect::Where where = dialect::Where::current()) {
  return static_cast<T*>(dialect::dynamic_shared(where));
}

inline void block_sync(dialect::Where where = dialect::Where::current()) {
  dialect::block_collective(dialect::Op::BlockSync, dialect::Number::Int, nullptr, where);
}

namespace dialect {

// An element of a SHARED array handed to a word is read there.
template <class T>
T value_of(const T& v) {
  return v;
}
template <class T>
T value_of(const SharedRef<T>& v) {
  return v;
}

template <class T>
constexpr Number number_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int>,
                "sums and maxima are of float, double or int");
  return std::is_same_v<T, float> ? Number::Float : std::is_same_v<T, double> ? Number::Double : Number::Int;
}

template <class T>
constexpr Number bits_of() {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "lanes exchange 4 or 8 bytes");
  return sizeof(T) == 4 ? Number::Bits4 : Number::Bits8;
}

template <Op op, class V>
auto over_block(const V& v, Where where) {
  auto value = value_of(v);
  block_collective(op, number_of<decltype(value)>(), &value, where);
  return value;
}

template <Op op, class V>
auto over_warp(const V& v, Where where) {
  auto value = value_of(v);
  warp_collective(op, number_of<decltype(value)>(), &value, 0, where);
  return value;
}

template <Op op, class V>
auto shuffle(const V& v, int parameter, Where where) {
  auto value = value_of(v);
  warp_collective(op, bits_of<decltype(value)>(), &value, parameter, where);
  return value;
}

inline bool in_arena(const void* p) {
  return p >= arena_first && p < arena_last;
}

}  // namespace dialect

template <class V>
auto block_sum(const V& v, dialect::Where where = dialect::Where::current()) {
  return dialect::over_block<dialect::Op::BlockSum>(v, where);
}
template <class V>
auto block_max(const V& v, dialect::Where where = dialect::Where::current()) {
  return dialect::over_block<dialect::Op::BlockMax>(v, where);
}
template <class V>
auto warp_sum(const V& v, dialect::Where where = dialect::Where::current()) {
  return dialect::over_warp<dialect::Op::WarpSum>(v, where);
}
template <class V>
auto warp_max(const V& v, dialect::Where where = dialect::Where::current()) {
  return dialect::over_warp<dialect::Op::WarpMax>(v, where);
}
template <class V>
auto shfl_xor(const V& v, int mask, dialect::Where where = dialect::Where::current()) {
  return dialect::shuffle<dialect::Op::ShflXor>(v, mask, where);
}
template <class V>
auto shfl_down(const V& v, int delta, dialect::Where where = dialect::Where::current()) {
  return dialect::shuffle<dialect::Op::ShflDown>(v, delta, where);
}

template <class T>
T atomic_add(T* p, std::type_identity_t<T> v) {
  static_assert(std::is_integral_v<T>, "only integers: a float sum would depend on the order of arrival");
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}

inline bool last_block(unsigned* ticket, unsigned blocks, dialect::Where where = dialect::Where::current()) {
  block_sync(where);
  int last = 0;
  if (threadIdx.x == 0) {
    last = __atomic_add_fetch(ticket, 1u, __ATOMIC_ACQ_REL) == blocks;
    if (last) __atomic_store_n(ticket, 0u, __ATOMIC_RELAXED);
  }
  return block_max(last, where) != 0;
}

template <class T, int N>
struct Packed {
  static constexpr size_t kAlign = sizeof(T) * N < 16 ? sizeof(T) * N : 16;
  T v[N];
  static Packed load(const T* p, dialect::Where where = dialect::Where::current()) {
    if (reinterpret_cast<uintptr_t>(p) % kAlign) dialect::misaligned("Packed::load", p, kAlign, where);
    if (dialect::in_arena(p)) dialect::shared_read_bytes(p, sizeof(T) * N, where);
    Packed out;
    for (int i = 0; i < N; ++i) out.v[i] = p[i];
    return out;
  }
  void store(T* p, dialect::Where where = dialect::Where::current()) const {
    if (reinterpret_cast<uintptr_t>(p) % kAlign) dialect::misaligned("Packed::store", p, kAlign, where);
    if (dialect::in_arena(p)) dialect::shared_write_bytes(p, sizeof(T) * N, where);
    for (int i = 0; i < N; ++i) p[i] = v[i];
  }
  T& operator[](int i) { return v[i]; }
  const T& operator[](int i) const { return v[i]; }
};

template <int V, class Body>
void for_lanes(Body&& body) {
  for (int v = 0; v < V; ++v) body(v);
}

template <class T, int V>
void load_floats(float (&f)[V], const T* p, dialect::Where where = dialect::Where::current()) {
  const auto pack = Packed<T, V>::load(p, where);
  for (int v = 0; v < V; ++v) f[v] = to_float(pack[v]);
}
template <class T, int V>
void store_floats(T* p, const float (&f)[V], dialect::Where where = dialect::Where::current()) {
  Packed<T, V> pack;
  for (int v = 0; v < V; ++v) pack[v] = from_float<T>(f[v]);
  pack.store(p, where);
}

// valid = false writes sixteen zero bytes and reads nothing: the padding of a gather.
inline void cp_async16(void* shared, const void* global, bool valid = true,
                       dialect::Where where = dialect::Where::current()) {
  dialect::copy_async(shared, global, valid, where);
}
inline void cp_async_commit(dialect::Where where = dialect::Where::current()) {
  dialect::copy_async_commit(where);
}
template <int N>
void cp_async_wait(dialect::Where where = dialect::Where::current()) {
  dialect::copy_async_wait(N, where);
}

// Lane l gives the address of row l % 8 of the 8x8 bf16 matrix l / 8; register i receives matrix i's fragment.
inline void ldmatrix_x4(uint32_t* registers, const void* row, dialect::Where where = dialect::Where::current()) {
  dialect::load_matrix(registers, row, false, where);
}
inline void ldmatrix_x4_trans(uint32_t* registers, const void* row, dialect::Where where = dialect::Where::current()) {
  dialect::load_matrix(registers, row, true, where);
}

// Two neighbours of a row as an operand of mma_tile holds them, rounded to nearest even.
inline uint32_t bf16_pair(float low, float high) {
  return uint32_t{from_float<bf16>(low).bits} | uint32_t{from_float<bf16>(high).bits} << 16;
}

// acc += a * b over MT x NT tiles of m16n8k16: bf16 products, fp32 sums.
template <int MT, int NT>
void mma_tile(float (&acc)[MT][NT][4], const uint32_t (&a)[MT][4], const uint32_t (&b)[NT][2],
              dialect::Where where = dialect::Where::current()) {
  dialect::multiply_tile(&acc[0][0][0], &a[0][0], &b[0][0], MT, NT, where);
}

template <auto Kernel, class... Args>
void launch(const char* name, Dim3 grid, int block, size_t smem, Stream& stream, Args... args) {
  if (int64_t{1} * grid.x * grid.y * grid.z == 0) return;
  submit(stream, name, [=] {
    auto body = [&] { Kernel(args...); };
    dialect::run_launch({name, grid, static_cast<unsigned>(block), smem,
                         [](const void* f) { (*static_cast<const decltype(body)*>(f))(); }, &body});
  });
}

template <auto Body, class... Args>
void for_each(const char* name, int64_t n, Stream& stream, Args... args) {
  if (n <= 0) return;
  submit(stream, name, [=] {
    auto body = [&](int64_t i) { Body(i, args...); };
    dialect::run_items(
        n, [](const void* f, int64_t i) { (*static_cast<const decltype(body)*>(f))(i); }, &body);
  });
}

}  // namespace ito
