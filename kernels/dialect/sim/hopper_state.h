// SPDX-License-Identifier: Apache-2.0
// What a running block has of Hopper: barriers with phases, copies under way, products held back, and who wrote what
// through the ordinary path. One a worker, made once: fibers must not allocate (worker.h).
#pragma once
#include "kernels/dialect/sim/hopper_words.h"
#include "kernels/dialect/sim/worker.h"

namespace ito::dialect {

constexpr unsigned kGroupLanes = 128, kGroups = kMaxThreads / kGroupLanes;
constexpr unsigned kMaxBars = 64, kMaxNamed = 16, kMaxTransfers = 512, kMaxLocks = 64, kMaxAccumulators = 4;
constexpr size_t kAddresses = 256 * 1024;  // what a descriptor can name
constexpr size_t kMaxWgMma = 64 * 256;

// An mbarrier. A phase is complete when nothing is pending and no byte is missing.
struct Bar {
  const uint64_t* at;
  unsigned count, pending, phase;  // phase: how many are complete
  int64_t bytes;                   // expected and not yet arrived
  unsigned maker;
  uint32_t made;  // epoch
  Where where;
};

struct Named {
  unsigned threads, arrived;
  Where where;
  char token[2];  // for ThreadSanitizer, as Worker::barrier_token
  unsigned turn;
};

struct Transfer {
  bool store;
  TmaBox map;
  char* tile;
  size_t bytes;
  int at[TmaBox::kMaxRank];
  unsigned bar, thread;
  uint32_t group;
  Where where;
};

// Shared memory that products under way read.
struct Lock {
  const char *first, *last;
  uint32_t group;
  Where where;
};

struct Accumulator {
  bool used;
  uint32_t group;  // the last that adds to it
  int n;
  float* lane[kGroupLanes];
  float value[kMaxWgMma];  // 64 x n
  Where where;
};

struct Warpgroup {
  unsigned waiting;
  uint32_t committed;  // groups
  unsigned registers;  // a thread; 0: as launched
  unsigned lock_count;
  Lock locks[kMaxLocks];
  Accumulator acc[kMaxAccumulators];
  Where registers_where;
};

// Registers that wg_fence has seen, with a fingerprint of what they held.
struct Fenced {
  const void* at;
  uint64_t print;
};
constexpr unsigned kMaxFenced = 16;

struct LaneState {
  Fenced fenced[kMaxFenced];
  unsigned next_fenced;
  uint32_t fence;      // when it last fenced the proxies
  uint32_t published;  // the last fence before its last barrier
  uint32_t groups;     // of tma_store, committed
};

// Who wrote four bytes of shared memory last: a thread by an ordinary store, or a copy.
constexpr uint16_t kByCopy = 0xFFFF;
struct Written {
  uint32_t time;
  uint16_t thread;
  uint16_t line;   // of a copy: its barrier
  uint32_t phase;  // of a copy: the barrier's
};

struct Hopper {
  bool used;  // in this block
  uint32_t clock, block_clock;
  unsigned bar_count, transfer_count;
  Bar bars[kMaxBars];
  int64_t seen[kMaxBars][kMaxThreads];  // the phase that a thread last waited for; kNever
  Named named[kMaxNamed];
  Transfer transfers[kMaxTransfers];
  Warpgroup groups[kGroups];
  LaneState lane[kMaxThreads];
  Written written[kAddresses / 4];

  void open();
};
constexpr int64_t kNever = -2;

// tma.cpp
bool land_one(Worker& w);    // a copy under way, which one is the schedule's choice; false: there is none
void maybe_land(Worker& w);  // a seeded schedule's copies land at any time
void land_all_of(Worker& w, unsigned thread, uint32_t before_group);
// hopper.cpp
void complete_bytes(Worker& w, unsigned bar, size_t bytes, Where where);
std::string bar_texts(const Worker& w);
void publish_fence(Worker& w);  // the current thread comes to a barrier
// access.cpp
// An access to what a copy brings is refused, and a write of what a copy or a product still reads.
void check_under_way(Worker& w, const char* p, size_t bytes, bool write, const char* word, Where where);
// An ordinary access: the above, and a write is remembered until it is fenced.
void check_ordinary(Worker& w, const void* p, size_t bytes, bool write, Where where);
void mark_written(Worker& w, const char* p, size_t bytes, Where where);
// A read through the asynchronous path: nothing under way, nothing that was written and not fenced, and then passed
// through a barrier unless it is the reader's own.
void check_asynchronous_read(Worker& w, const char* p, size_t bytes, const char* word, bool own, Where where);
void check_exit(Worker& w);

}  // namespace ito::dialect
