// SPDX-License-Identifier: Apache-2.0
// See planted.h. Each kernel's comment names the bug; `kLine...` is the line a report must name.
#include "tests/only/sim/planted.h"

#include "dialect.h"

namespace ito::planted {
namespace {

constexpr int kBlock = 64;

// No barrier between writing and reading another thread's element.
KERNEL void missing_barrier(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[kBlock - 1 - threadIdx.x];
}
constexpr int kLineMissing = __LINE__ - 2;

// The reading is behind a barrier, the next round's writing is not.
KERNEL void missing_second_barrier(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = x[threadIdx.x + round];
    block_sync();
    y[threadIdx.x] = tile[kBlock - 1 - threadIdx.x];
  }
}
constexpr int kLineSecond = __LINE__ - 5;

// Two threads write one element.
KERNEL void write_write(float* y) {
  SHARED(float, one, 1);
  one[0] = static_cast<float>(threadIdx.x);
  block_sync();
  y[threadIdx.x] = one[0];
}
constexpr int kLineWrites = __LINE__ - 4;

// An element is written again while others may still have to read it.
KERNEL void write_after_read(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  tile[threadIdx.x] = x[threadIdx.x];
  block_sync();
  const float other = tile[kBlock - 1 - threadIdx.x];
  if (threadIdx.x < kBlock / 2) tile[threadIdx.x] = other;
  y[threadIdx.x] = other;
}
constexpr int kLineRewrite = __LINE__ - 3;

// A warp's collective is no barrier for memory.
KERNEL void shuffle_as_barrier(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  tile[threadIdx.x] = x[threadIdx.x];
  const float sum = warp_sum(x[threadIdx.x]);
  y[threadIdx.x] = sum + tile[threadIdx.x ^ 1];
}
constexpr int kLineShuffleBarrier = __LINE__ - 2;

// The same as missing_barrier through a plain pointer: only the race detector sees it.
KERNEL void missing_barrier_by_pointer(const float* x, float* y) {
  float* tile = dyn_shared<float>();
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[kBlock - 1 - threadIdx.x];
}
constexpr int kLineByPointer = __LINE__ - 2;

// A barrier under a condition that half a warp fails.
KERNEL void divergent_barrier(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  tile[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < 16) {
    block_sync();
  }
  block_sync();
  y[threadIdx.x] = tile[threadIdx.x];
}
constexpr int kLineDivergent = __LINE__ - 5;

// Half of the threads have left before the barrier.
KERNEL void exited_thread(const float* x, float* y) {
  if (threadIdx.x < kBlock / 2) {
    block_sync();
    y[threadIdx.x] = x[threadIdx.x];
  }
}
constexpr int kLineExited = __LINE__ - 4;

// Sixteen lanes shuffle, the others do not.
KERNEL void incomplete_shuffle(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % WARP < 16) v += shfl_xor(v, 1);
  y[threadIdx.x] = v;
}
constexpr int kLineShuffle = __LINE__ - 3;

// All lanes shuffle, at two places.
KERNEL void divergent_shuffle(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 2)
    v += shfl_xor(v, 2);
  else
    v -= shfl_xor(v, 2);
  y[threadIdx.x] = v;
}
constexpr int kLineTwoShuffles = __LINE__ - 5;

// One element too far in device memory.
KERNEL void global_overrun(const float* x, float* y, int n) {
  BLOCK_LOOP(i, n + 1) y[i] = x[0];
}
constexpr int kLineGlobal = __LINE__ - 2;

// One element too far in a SHARED array.
KERNEL void shared_overrun(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  tile[threadIdx.x + 1] = x[threadIdx.x];
  block_sync();
  y[threadIdx.x] = tile[1];
}
constexpr int kLineShared = __LINE__ - 4;

// The same through a plain pointer: the redzone tells, with the array's line.
KERNEL void shared_overrun_by_pointer(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  float* p = tile;
  p[threadIdx.x + 1] = x[threadIdx.x];
  block_sync();
  y[threadIdx.x] = p[1];
}
constexpr int kLineSharedPointer = __LINE__ - 6;

// All blocks write the same elements.
KERNEL void cross_block_race(float* y) {
  y[threadIdx.x] = static_cast<float>(blockIdx.x);
}
constexpr int kLineRace = __LINE__ - 2;

// All items write the same element.
DEVICE void racing_items(int64_t i, float* y) {
  y[0] = static_cast<float>(i);
}
constexpr int kLineItems = __LINE__ - 2;

// The second of two groups is read after a wait that leaves one in flight.
KERNEL void short_wait(const float* x, float* y) {
  SHARED(float, tile, 2 * 4 * kBlock);
  for (int group = 0; group < 2; ++group) {
    const int at = 4 * (group * kBlock + static_cast<int>(threadIdx.x));
    cp_async16(tile + at, x + at);
    cp_async_commit();
  }
  cp_async_wait<1>();
  y[threadIdx.x] = tile[4 * (kBlock + threadIdx.x)];
}
constexpr int kLineWait = __LINE__ - 2;

// Another thread's copy is read after the own wait without a barrier.
KERNEL void wait_without_barrier(const float* x, float* y) {
  SHARED(float, tile, 4 * kBlock);
  cp_async16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x);
  cp_async_commit();
  cp_async_wait<0>();
  const int other = 4 * (kBlock - 1 - static_cast<int>(threadIdx.x));
  y[threadIdx.x] = Packed<float, 4>::load(tile + other)[0];
}
constexpr int kLineNoBarrier = __LINE__ - 2;

// A copy into plain dynamic memory, read as fragments too early.
KERNEL void early_ldmatrix(const float* x, float* y) {
  bf16* tile = dyn_shared<bf16>();
  cp_async16(tile + 8 * threadIdx.x, x + 4 * threadIdx.x);
  cp_async_commit();
  uint32_t fragment[4];
  ldmatrix_x4(fragment, tile + 8 * threadIdx.x);
  y[threadIdx.x] = static_cast<float>(fragment[0]);
}
constexpr int kLineEarly = __LINE__ - 3;

// Half of the array is never written.
KERNEL void uninitialised_read(const float* x, float* y) {
  SHARED(float, tile, kBlock);
  if (threadIdx.x < kBlock / 2) tile[threadIdx.x] = x[threadIdx.x];
  block_sync();
  y[threadIdx.x] = tile[threadIdx.x];
}
constexpr int kLineUninitialised = __LINE__ - 2;

// The same in integers, where poison is a value.
KERNEL void uninitialised_index(const float* x, float* y) {
  SHARED(int, where, kBlock);
  if (threadIdx.x != 5) where[threadIdx.x] = static_cast<int>(threadIdx.x);
  block_sync();
  y[threadIdx.x] = x[where[threadIdx.x]];
}
constexpr int kLineIndex = __LINE__ - 2;

// One warp waits at one barrier, the other at another.
KERNEL void wrong_barrier_site(const float* x, float* y) {
  if (threadIdx.x < WARP)
    block_sync();
  else
    block_sync();
  y[threadIdx.x] = x[threadIdx.x];
}
constexpr int kLineSite = __LINE__ - 5;

// A sum over a block that is no multiple of the warp.
KERNEL void partial_warp(const float* x, float* y) {
  const float sum = block_sum(x[threadIdx.x]);
  y[threadIdx.x] = sum;
}
constexpr int kLinePartial = __LINE__ - 3;

// Four bytes past a multiple of sixteen.
KERNEL void misaligned(const float* x, float* y) {
  Packed<float, 4>::load(x + 1).store(y);
}
constexpr int kLineMisaligned = __LINE__ - 2;

// Items have no block to wait for.
DEVICE void barrier_in_item(int64_t i, float* y) {
  block_sync();
  y[i] = 0.0f;
}
constexpr int kLineItem = __LINE__ - 3;

// Right: barriers on both sides, in a loop; a barrier reached from different iterations counts; a ticket.
KERNEL void right_barriers(const float* x, float* y, unsigned* ticket) {
  SHARED(float, tile, kBlock);
  SHARED(int, order, kBlock);
  for (int round = 0; round < 3; ++round) {
    tile[threadIdx.x] = x[threadIdx.x + round];
    order[kBlock - 1 - threadIdx.x] = -1;
    block_sync();
    y[blockIdx.x * kBlock + threadIdx.x] = tile[order[threadIdx.x] + kBlock - threadIdx.x];
    block_sync();
  }
  if (last_block(ticket, gridDim.x)) {
    float sum = 0.0f;
    BLOCK_LOOP(i, gridDim.x * kBlock) sum += y[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[0] = sum;
  }
}

// Right: two groups in flight, each read after its wait and a barrier; the other blocks' elements are left alone.
KERNEL void right_copies(const float* x, float* y) {
  SHARED(float, tile, 2 * 4 * kBlock);
  float* all = dyn_shared<float>();
  for (int group = 0; group < 2; ++group) {
    const int at = 4 * (group * kBlock + static_cast<int>(threadIdx.x));
    cp_async16(tile + at, x + at);
    cp_async16(all + at, x + at, group == 0);
    cp_async_commit();
  }
  cp_async_wait<1>();
  block_sync();
  const int other = kBlock - 1 - static_cast<int>(threadIdx.x);
  float v = tile[4 * other] + all[4 * other];
  cp_async_wait<0>();
  block_sync();
  v += tile[4 * (kBlock + other)] + all[4 * (kBlock + other)];
  y[blockIdx.x * kBlock + threadIdx.x] = v;
}

}  // namespace

const std::vector<Bug>& bugs() {
  using enum SeenBy;
  static const std::vector<Bug> list = {
      {"one barrier too few", "missing_barrier", "missing barrier", kLineMissing, Executor,
       [](Stream& s, const Memory& m) { launch<missing_barrier>("one barrier too few", 1, kBlock, 0, s, m.x, m.y); }},
      {"second barrier", "missing_second_barrier", "missing barrier", kLineSecond, Executor,
       [](Stream& s, const Memory& m) { launch<missing_second_barrier>("second barrier", 1, kBlock, 0, s, m.x, m.y); }},
      {"two writers", "write_write", "missing barrier", kLineWrites, Executor,
       [](Stream& s, const Memory& m) { launch<write_write>("two writers", 1, kBlock, 0, s, m.y); }},
      {"write after read", "write_after_read", "missing barrier", kLineRewrite, Executor,
       [](Stream& s, const Memory& m) { launch<write_after_read>("write after read", 1, kBlock, 0, s, m.x, m.y); }},
      {"shuffle as barrier", "shuffle_as_barrier", "missing barrier", kLineShuffleBarrier, Executor,
       [](Stream& s, const Memory& m) { launch<shuffle_as_barrier>("shuffle as barrier", 1, kBlock, 0, s, m.x, m.y); }},
      {"barrier by pointer", "missing_barrier_by_pointer", "data race", kLineByPointer, Thread,
       [](Stream& s, const Memory& m) {
         launch<missing_barrier_by_pointer>("barrier by pointer", 1, kBlock, 4 * kBlock, s, m.x, m.y);
       }},
      {"half a barrier", "divergent_barrier", "divergent barrier", kLineDivergent, Executor,
       [](Stream& s, const Memory& m) { launch<divergent_barrier>("half a barrier", 1, kBlock, 0, s, m.x, m.y); }},
      {"left early", "exited_thread", "exited thread", kLineExited, Executor,
       [](Stream& s, const Memory& m) { launch<exited_thread>("left early", 1, kBlock, 0, s, m.x, m.y); }},
      {"half a shuffle", "incomplete_shuffle", "incomplete shuffle", kLineShuffle, Executor,
       [](Stream& s, const Memory& m) { launch<incomplete_shuffle>("half a shuffle", 1, kBlock, 0, s, m.x, m.y); }},
      {"two shuffles", "divergent_shuffle", "divergent shuffle", kLineTwoShuffles, Executor,
       [](Stream& s, const Memory& m) { launch<divergent_shuffle>("two shuffles", 1, kBlock, 0, s, m.x, m.y); }},
      {"global overrun", "global_overrun", "heap-buffer-overflow", kLineGlobal, Address,
       [](Stream& s, const Memory& m) {
         launch<global_overrun>("global overrun", 1, kBlock, 0, s, m.x, m.y, m.floats);
       }},
      {"shared overrun", "shared_overrun", "shared overrun", kLineShared, Executor,
       [](Stream& s, const Memory& m) { launch<shared_overrun>("shared overrun", 1, kBlock, 0, s, m.x, m.y); }},
      {"shared by pointer", "shared_overrun_by_pointer", "shared overrun", kLineSharedPointer, Executor,
       [](Stream& s, const Memory& m) {
         launch<shared_overrun_by_pointer>("shared by pointer", 1, kBlock, 0, s, m.x, m.y);
       }},
      {"blocks race", "cross_block_race", "data race", kLineRace, Thread,
       [](Stream& s, const Memory& m) { launch<cross_block_race>("blocks race", 2, kBlock, 0, s, m.y); }},
      {"items race", "racing_items", "data race", kLineItems, Thread,
       [](Stream& s, const Memory& m) { for_each<racing_items>("items race", 100, s, m.y); }},
      {"short wait", "short_wait", "short cp_async wait", kLineWait, Executor,
       [](Stream& s, const Memory& m) { launch<short_wait>("short wait", 1, kBlock, 0, s, m.x, m.y); }},
      {"wait, no barrier", "wait_without_barrier", "missing barrier", kLineNoBarrier, Executor,
       [](Stream& s, const Memory& m) { launch<wait_without_barrier>("wait, no barrier", 1, kBlock, 0, s, m.x, m.y); }},
      {"early ldmatrix", "early_ldmatrix", "short cp_async wait", kLineEarly, Executor,
       [](Stream& s, const Memory& m) {
         launch<early_ldmatrix>("early ldmatrix", 1, kBlock, 16 * kBlock, s, m.x, m.y);
       }},
      {"uninitialised", "uninitialised_read", "uninitialised read", kLineUninitialised, Executor,
       [](Stream& s, const Memory& m) { launch<uninitialised_read>("uninitialised", 1, kBlock, 0, s, m.x, m.y); }},
      {"uninitialised index", "uninitialised_index", "uninitialised read", kLineIndex, Executor,
       [](Stream& s, const Memory& m) {
         launch<uninitialised_index>("uninitialised index", 1, kBlock, 0, s, m.x, m.y);
       }},
      {"wrong site", "wrong_barrier_site", "wrong barrier site", kLineSite, Executor,
       [](Stream& s, const Memory& m) { launch<wrong_barrier_site>("wrong site", 1, kBlock, 0, s, m.x, m.y); }},
      {"partial warp", "partial_warp", "partial warp", kLinePartial, Executor,
       [](Stream& s, const Memory& m) { launch<partial_warp>("partial warp", 1, 48, 0, s, m.x, m.y); }},
      {"misaligned", "misaligned", "misaligned address", kLineMisaligned, Executor,
       [](Stream& s, const Memory& m) { launch<misaligned>("misaligned", 1, 1, 0, s, m.x, m.y); }},
      {"barrier in item", "barrier_in_item", "block_sync", kLineItem, Executor,
       [](Stream& s, const Memory& m) { for_each<barrier_in_item>("barrier in item", 3, s, m.y); }},
  };
  return list;
}

int run_right_ones(Stream& stream, const Memory& m) {
  launch<right_barriers>("right barriers", 5, kBlock, 0, stream, m.x, m.y, reinterpret_cast<unsigned*>(m.counts));
  launch<right_copies>("right copies", 5, kBlock, 8 * kBlock * sizeof(float), stream, m.x, m.y);
  return 2;
}

}  // namespace ito::planted
