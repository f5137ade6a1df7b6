// SPDX-License-Identifier: Apache-2.0
// Hopper's words for tests: copies land at some later moment, products are held back until they are waited for, and
// what a GPU would silently get wrong is an error. See README.md.
#pragma once
#include "dialect.h"
#include "kernels/dialect/hopper_layout.h"
#include "kernels/dialect/sim/hopper_words.h"

namespace ito {

#define LAUNCH_THREADS(threads)
#define TMA_PARAMETER const ::ito::TmaMap

using TmaMap = TmaBox;
inline TmaMap tma_map(const TmaBox& box) {
  check_tma_box(box);
  return box;
}
inline bool device_has_wgmma() {
  return true;
}

// Tiles: the launch's dynamic shared memory from its first multiple of 1024 bytes; the launch has kTileSlack bytes
// more.
inline constexpr size_t kTileSlack = 1024;
inline unsigned char* tile_memory(dialect::Where where = dialect::Where::current()) {
  return dialect::tile_memory(where);
}

inline void bar_init(uint64_t* bar, unsigned count, dialect::Where where = dialect::Where::current()) {
  dialect::bar_init(bar, count, where);
}
inline void bar_expect(uint64_t* bar, unsigned bytes, dialect::Where where = dialect::Where::current()) {
  dialect::bar_arrive(bar, bytes, true, where);
}
inline void bar_arrive(uint64_t* bar, dialect::Where where = dialect::Where::current()) {
  dialect::bar_arrive(bar, 0, false, where);
}
inline void bar_wait(uint64_t* bar, unsigned parity, dialect::Where where = dialect::Where::current()) {
  dialect::bar_wait(bar, parity, where);
}

template <int Rank>
void tma_load(void* tile, const TmaMap& map, uint64_t* bar, const int (&at)[Rank],
              dialect::Where where = dialect::Where::current()) {
  dialect::tma_load(tile, map, bar, at, Rank, where);
}
template <int Rank>
void tma_store(const TmaMap& map, const void* tile, const int (&at)[Rank],
               dialect::Where where = dialect::Where::current()) {
  dialect::tma_store(map, tile, at, Rank, where);
}
inline void tma_store_commit(dialect::Where where = dialect::Where::current()) {
  dialect::tma_store_commit(where);
}
template <int N>
void tma_store_wait(dialect::Where where = dialect::Where::current()) {
  dialect::tma_store_wait(N, where);
}

template <TileRows Rows>
uint64_t k_major(const void* tile, dialect::Where where = dialect::Where::current()) {
  return descriptor_bits<Rows>(dialect::tile_address(tile, where), 16, 8 * static_cast<uint32_t>(Rows));
}
inline uint64_t mn_major(const void* tile, uint32_t panel, dialect::Where where = dialect::Where::current()) {
  return descriptor_bits<TileRows::Bytes128>(dialect::tile_address(tile, where), panel, 1024);
}

template <int N, Major A = Major::K, Major B = Major::K>
void wg_mma(float (&acc)[N / 2], uint64_t a, uint64_t b, dialect::Where where = dialect::Where::current()) {
  static_assert(N % 8 == 0 && N >= 8 && N <= 256);
  dialect::wg_mma({acc, nullptr, a, b, N, A == Major::MN, B == Major::MN}, where);
}
template <int N, Major B = Major::K>
void wg_mma(float (&acc)[N / 2], const uint32_t (&a)[4], uint64_t b, dialect::Where where = dialect::Where::current()) {
  static_assert(N % 8 == 0 && N >= 8 && N <= 256);
  dialect::wg_mma({acc, a, 0, b, N, false, B == Major::MN}, where);
}

template <class T, int Count>
void wg_fence(T (&registers)[Count], dialect::Where where = dialect::Where::current()) {
  static_assert(sizeof(T) == 4);
  dialect::wg_fence(registers, Count, where);
}
template <int Count, int Steps>
void wg_fence(float (&acc)[Count], uint32_t (&a)[Steps][4], dialect::Where where = dialect::Where::current()) {
  dialect::wg_fence(acc, Count, where);
  for (int step = 0; step < Steps; ++step) dialect::wg_fence(a[step], 4, where);
}
inline void wg_commit(dialect::Where where = dialect::Where::current()) {
  dialect::wg_commit(where);
}
template <int N>
void wg_wait(dialect::Where where = dialect::Where::current()) {
  dialect::wg_wait(N, where);
}
template <int N, int Count>
void wg_wait(float (&)[Count], dialect::Where where = dialect::Where::current()) {
  dialect::wg_wait(N, where);
}

inline void proxy_fence(dialect::Where where = dialect::Where::current()) {
  dialect::proxy_fence(where);
}
template <int N>
void regs_inc(dialect::Where where = dialect::Where::current()) {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  dialect::set_registers(N, true, where);
}
template <int N>
void regs_dec(dialect::Where where = dialect::Where::current()) {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  dialect::set_registers(N, false, where);
}
inline bool elect_one() {
  return threadIdx.x % WARP == 0;
}
inline void named_sync(int id, int threads, dialect::Where where = dialect::Where::current()) {
  dialect::named_sync(id, threads, where);
}

}  // namespace ito
