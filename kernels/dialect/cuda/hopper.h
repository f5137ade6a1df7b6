// SPDX-License-Identifier: Apache-2.0
// Hopper's words on a GPU, for files compiled for sm_90a alone: copies by the tensor memory accelerator, barriers with
// phases, products of a warpgroup. Each is the instruction it stands for.
#pragma once
#include "dialect.h"
#include "kernels/dialect/cuda/tma_map.h"
#include "kernels/dialect/cuda/wg_mma.h"
#include "kernels/dialect/hopper_layout.h"

namespace ito {

// The block's size, without which ptxas cannot split its registers (regs_inc, regs_dec), and one block an SM.
#define LAUNCH_THREADS(threads) __launch_bounds__(threads, 1)
#define TMA_PARAMETER const __grid_constant__ ::ito::TmaMap

// Tiles: the launch's dynamic shared memory from its first multiple of 1024 bytes; the launch has kTileSlack bytes
// more.
inline constexpr size_t kTileSlack = 1024;
ITO_DEVICE_ONLY unsigned char* tile_memory() {
  auto* start = dyn_shared<unsigned char>();
  return start + ((1024 - (shared_address(start) & 1023)) & 1023);
}

// The fence makes the barrier known to the accelerator; a block_sync makes it known to the other threads.
ITO_DEVICE_ONLY void bar_init(uint64_t* bar, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(bar)), "r"(count) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}
// Arrives, and has the phase wait for so many bytes of copies besides.
ITO_DEVICE_ONLY void bar_expect(uint64_t* bar, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(bar)), "r"(bytes)
               : "memory");
}
ITO_DEVICE_ONLY void bar_arrive(uint64_t* bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(bar)) : "memory");
}
// Until the phase of that parity is complete. A new barrier's phase of parity 1 counts as complete.
ITO_DEVICE_ONLY void bar_wait(uint64_t* bar, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred complete;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 complete, [%0], %1;\n"
      "@!complete bra again;\n"
      "}\n" ::"r"(shared_address(bar)),
      "r"(parity)
      : "memory");
}

// A box of the tensor to the tile, or from it; at: its first element, the contiguous dimension first. What is outside
// of the tensor is zero in the tile and left alone in the tensor.
template <int Rank>
ITO_DEVICE_ONLY void tma_load(void* tile, const TmaMap& map, uint64_t* bar, const int (&at)[Rank]) {
  static_assert(Rank >= 2 && Rank <= 4);
  const unsigned to = shared_address(tile), by = shared_address(bar);
  if constexpr (Rank == 2)
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];\n" ::
            "r"(to),
        "l"(&map), "r"(by), "r"(at[0]), "r"(at[1])
        : "memory");
  else if constexpr (Rank == 3)
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
        "[%2];\n" ::"r"(to),
        "l"(&map), "r"(by), "r"(at[0]), "r"(at[1]), "r"(at[2])
        : "memory");
  else
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
        "[%2];\n" ::"r"(to),
        "l"(&map), "r"(by), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3])
        : "memory");
}
template <int Rank>
ITO_DEVICE_ONLY void tma_store(const TmaMap& map, const void* tile, const int (&at)[Rank]) {
  static_assert(Rank >= 2 && Rank <= 4);
  const unsigned from = shared_address(tile);
  if constexpr (Rank == 2)
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];\n" ::"l"(&map), "r"(from),
                 "r"(at[0]), "r"(at[1])
                 : "memory");
  else if constexpr (Rank == 3)
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];\n" ::"l"(&map),
                 "r"(from), "r"(at[0]), "r"(at[1]), "r"(at[2])
                 : "memory");
  else
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];\n" ::"l"(&map),
                 "r"(from), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3])
                 : "memory");
}
ITO_DEVICE_ONLY void tma_store_commit() {
  asm volatile("cp.async.bulk.commit_group;\n" ::: "memory");
}
// Until all but N groups have read their tiles, which may then be written again.
template <int N>
ITO_DEVICE_ONLY void tma_store_wait() {
  asm volatile("cp.async.bulk.wait_group.read %0;\n" ::"n"(N) : "memory");
}

// Descriptors. k_major: rows of Rows bytes, the summed index contiguous; 16 of its elements on is + 32 / 16.
template <TileRows Rows>
ITO_DEVICE_ONLY uint64_t k_major(const void* tile) {
  return descriptor_bits<Rows>(shared_address(tile), 16, 8 * static_cast<uint32_t>(Rows));
}
// mn_major: a row of 64 elements for each summed index, panels of 64 so many bytes apart; 16 indices on is + 2048 / 16.
ITO_DEVICE_ONLY uint64_t mn_major(const void* tile, uint32_t panel) {
  return descriptor_bits<TileRows::Bytes128>(shared_address(tile), panel, 1024);
}

template <int N, Major A = Major::K, Major B = Major::K>
ITO_DEVICE_ONLY void wg_mma(float (&acc)[N / 2], uint64_t a, uint64_t b) {
  dialect::WgMma<N, A == Major::MN, B == Major::MN>::run(acc, a, b);
}
template <int N, Major B = Major::K>
ITO_DEVICE_ONLY void wg_mma(float (&acc)[N / 2], const uint32_t (&a)[4], uint64_t b) {
  dialect::WgMma<N, false, B == Major::MN>::run(acc, a, b);
}

namespace dialect {

// The compiler must not move what it does with the registers across this place.
template <int Count>
ITO_DEVICE_ONLY void hold(float (&registers)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int Count>
ITO_DEVICE_ONLY void hold(uint32_t (&registers)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

}  // namespace dialect

template <class T, int Count>
ITO_DEVICE_ONLY void wg_fence(T (&registers)[Count]) {
  dialect::hold(registers);
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}
template <int Count, int Steps>
ITO_DEVICE_ONLY void wg_fence(float (&acc)[Count], uint32_t (&a)[Steps][4]) {
#pragma unroll
  for (int step = 0; step < Steps; ++step) dialect::hold(a[step]);
  wg_fence(acc);
}
ITO_DEVICE_ONLY void wg_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}
template <int N>
ITO_DEVICE_ONLY void wg_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(N) : "memory");
}
template <int N, int Count>
ITO_DEVICE_ONLY void wg_wait(float (&acc)[Count]) {
  wg_wait<N>();
  dialect::hold(acc);
}

ITO_DEVICE_ONLY void proxy_fence() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}
template <int N>
ITO_DEVICE_ONLY void regs_inc() {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(N));
}
template <int N>
ITO_DEVICE_ONLY void regs_dec() {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(N));
}
// True in one lane of a whole warp, always the same one.
ITO_DEVICE_ONLY bool elect_one() {
  uint32_t elected = 0;
  asm volatile(
      "{\n"
      ".reg .pred chosen;\n"
      "elect.sync _|chosen, 0xFFFFFFFF;\n"
      "selp.u32 %0, 1, 0, chosen;\n"
      "}\n"
      : "=r"(elected));
  return elected != 0;
}
ITO_DEVICE_ONLY void named_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

}  // namespace ito
