// SPDX-License-Identifier: Apache-2.0
// What the words of hopper.h ask of the executor.
#pragma once
#include <cstdint>

#include "kernels/dialect/sim/executor.h"
#include "kernels/dialect/tma_box.h"

namespace ito::dialect {

unsigned char* tile_memory(Where where);
uint32_t tile_address(const void* tile, Where where);  // as the hardware counts: from the start of shared memory

void bar_init(uint64_t* bar, unsigned count, Where where);
void bar_arrive(uint64_t* bar, unsigned bytes, bool expects, Where where);
void bar_wait(uint64_t* bar, unsigned parity, Where where);
void named_sync(int id, int threads, Where where);

void tma_load(void* tile, const TmaBox& map, uint64_t* bar, const int* at, int rank, Where where);
void tma_store(const TmaBox& map, const void* tile, const int* at, int rank, Where where);
void tma_store_commit(Where where);
void tma_store_wait(int pending_groups, Where where);

// A lane's part of a product of 64 x 16 by 16 x n: the accumulators (n / 2), A's registers (4) or null, descriptors.
struct WgMmaArguments {
  float* acc;
  const uint32_t* registers;
  uint64_t a, b;
  int n;
  bool a_mn, b_mn;  // the operand's rows lie along m or n
};
void wg_mma(const WgMmaArguments& arguments, Where where);
void wg_fence(const void* registers, int count, Where where);
void wg_commit(Where where);
void wg_wait(int pending_groups, Where where);
void proxy_fence(Where where);
void set_registers(int count, bool more, Where where);

}  // namespace ito::dialect
