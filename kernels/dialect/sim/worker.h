// SPDX-License-Identifier: Apache-2.0
// A worker of the pool: runs one block at a time, its threads as fibers. Internal to the executor.
//
// Code here runs on fibers under ThreadSanitizer while it is not instrumented itself: no allocation, no library call
// that touches memory and no out-of-line template on the paths a right kernel takes.
#pragma once
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/dialect/sim/executor.h"
#include "kernels/error.h"

namespace ito::dialect {

constexpr unsigned kMaxThreads = 1024, kLanes = 32;
constexpr size_t kMaxStaticShared = 48 * 1024;  // what nvcc accepts
constexpr size_t kMaxShared = 227 * 1024;       // what an H100 gives a block
constexpr unsigned kMaxArrays = 64;
constexpr unsigned kMaxCopies = 64 * kMaxThreads;  // copies in flight in a block
constexpr unsigned kNoCopy = ~0u;

struct Worker;

// What a check found. It unwinds the thread that found it; the other threads of the block are abandoned.
class BlockError : public Error {
 public:
  using Error::Error;
};

struct Fiber {
  Worker* worker = nullptr;
  void* sp = nullptr;
  char* stack = nullptr;  // lowest address
  size_t bytes = 0;
  unsigned thread = 0;  // what it runs
  void* tsan = nullptr;
  void* asan = nullptr;  // AddressSanitizer's frames of this stack while it is away
};

enum class State : uint8_t { Unstarted, Running, AtBarrier, AtWarp, AtWarpgroup, AtNamed, AtPhase, Exited };

struct Hopper;  // hopper_state.h

struct Thread {
  Fiber* fiber;
  State state;
  Op op;  // the collective it waits in, its arguments and its place
  Number type;
  int parameter;
  void* value;
  Where where;
  unsigned first_copy, last_copy, groups;  // asynchronous copies in flight, oldest first; groups committed
};

struct Copy {
  char* to;
  const char* from;  // null: zeros
  unsigned group, next;
};

struct MultiplyArguments {
  float* acc;
  const uint32_t *a, *b;
  int mt, nt;
};

struct LoadArguments {
  uint32_t* registers;
  const char* row;
};

// Who touched an element last, and after which barrier. Epochs only grow, so a new block needs no clearing.
struct Cell {
  uint32_t written, read;   // epochs; before the block's first: never
  uint16_t writer, reader;  // threads
  uint16_t write_line, read_line;
};
constexpr uint16_t kInFlight = 0x8000;     // in writer: an asynchronous copy not yet waited for
constexpr uint16_t kManyReaders = 0xFFFF;  // in reader

struct SharedState {
  const SharedSite* site;  // null: dynamic shared memory, in bytes
  const char* name;
  char* data;
  size_t element, count;
  bool integer, escaped;
  Cell* cells;
};

struct Worker {
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;

  // Blocks first, first + step, ... of the launch, as long as nobody failed.
  void run_blocks(const Launch& launch, int64_t first, int64_t step, int64_t blocks, std::atomic<bool>& failed);

  // executor.cpp: running and waiting.
  void run_block(int64_t linear);
  void order_threads(int64_t linear);
  void run_thread(Fiber* fiber);
  int pick();  // the next thread, -1: none left
  int pick_or_land();
  void finish_thread(Fiber* fiber);  // runs something else; returns when the fiber has a new thread
  void wait();                       // the current thread gave up the processor
  void yield();
  void wait_at_barrier();
  void wait_at_warp();
  void release(unsigned first, unsigned count, bool front);
  void park(State state, Op op, Number type, void* value, int parameter, Where where);
  void transfer(unsigned next);
  void jump(Fiber* from, Fiber* to, bool synchronize);
  Fiber* new_fiber();
  Fiber* fiber_for(unsigned thread);
  void reset_fibers();
  [[noreturn]] void abort_block(const std::string& text) { throw BlockError(text); }
  void fail_block(Fiber* fiber);
  uint64_t random();

  // collectives.cpp
  void complete_block();
  void complete_warp(unsigned first);
  [[noreturn]] void report_stuck();
  [[noreturn]] void report_split_warp(unsigned first);
  std::string groups_of(unsigned first, unsigned count) const;

  // shared.cpp
  void open_arena();
  void close_arena();
  SharedState* allocate(const SharedSite* site, const char* name, size_t element, size_t count, size_t align);
  SharedState* find(const void* p);
  void check_read(SharedState& array, size_t index, Where where);
  void check_write(SharedState& array, size_t index, Where where, bool in_flight = false);
  void check_range(const void* p, size_t bytes, bool write, bool in_flight, Where where);

  std::string unwritten_text() const;
  std::string element_text(const SharedState& array, size_t index) const;
  std::string place(Where where) const { return place(where, current); }
  std::string place(Where where, unsigned of_thread) const;  // "file:line, block (x, y, z), thread t"

  const Launch* launch = nullptr;
  Fiber main;
  Fiber* previous = nullptr;  // who switched last
  unsigned current = 0;       // the running thread
  unsigned threads = 0, started = 0, exited = 0, at_barrier = 0;
  unsigned at_warp[kMaxThreads / kLanes] = {};
  std::unique_ptr<Thread[]> thread;
  std::unique_ptr<uint16_t[]> order;  // in which threads start
  // Ready threads: a ring that both ends push to.
  static constexpr unsigned kRing = 2 * kMaxThreads;
  std::unique_ptr<uint16_t[]> ready;
  unsigned ready_head = 0, ready_count = 0;

  std::vector<std::unique_ptr<Fiber>> fibers;
  std::unique_ptr<Fiber*[]> idle;
  unsigned idle_count = 0;

  std::exception_ptr exception;  // ends the block
  uint64_t random_state = 0;

  char* arena = nullptr;
  size_t arena_bytes = 0, cursor = 0, static_bytes = 0, cells_used = 0;
  SharedState arrays[kMaxArrays];
  unsigned array_count = 0;
  SharedState* dynamic = nullptr;
  Cell* cells = nullptr;
  uint32_t epoch = 1, block_epoch = 1;
  unsigned block_barriers = 0;
  // The first read of an element nobody had written: reported at the next barrier, because a write before it makes
  // the read a missing barrier instead.
  SharedState* unwritten = nullptr;
  size_t unwritten_index = 0;
  unsigned unwritten_thread = 0;
  Where unwritten_where;

  Hopper* hopper;  // zeroed pages that a launch without Hopper's words never touches
  std::unique_ptr<Copy[]> copies;
  unsigned free_copy = kNoCopy, copies_used = 0;

  // Addresses that stand for synchronisation in ThreadSanitizer's eyes.
  char started_token = 0, ended_token = 0, barrier_token[2] = {};
};

inline constinit thread_local Worker* current_worker = nullptr;

Worker& worker_in_block(const char* word, Where where);
const char* word_of(Op op);
bool same_place(Where a, Where b);
std::string text_of(Where where);
SimSchedule schedule_kind();
uint64_t schedule_seed();

// pool.cpp: body(worker number) on so many workers at once, the caller being number 0; rethrows the first error.
void run_workers(int workers, const std::function<void(Worker&, int, std::atomic<bool>& failed)>& body);
int sim_workers();

// ThreadSanitizer's fibers, where it is linked in.
extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber(void);
__attribute__((weak)) void* __tsan_create_fiber(unsigned);
__attribute__((weak)) void __tsan_destroy_fiber(void*);
__attribute__((weak)) void __tsan_switch_to_fiber(void*, unsigned);
__attribute__((weak)) void __tsan_acquire(void*);
__attribute__((weak)) void __tsan_release(void*);
__attribute__((weak)) void __tsan_read_range(void*, unsigned long);
__attribute__((weak)) void __tsan_write_range(void*, unsigned long);
__attribute__((weak)) void AnnotateIgnoreReadsBegin(const char*, int);
__attribute__((weak)) void AnnotateIgnoreReadsEnd(const char*, int);
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char*, int);
__attribute__((weak)) void AnnotateIgnoreWritesEnd(const char*, int);
}
inline bool under_tsan() {
  return __tsan_create_fiber != nullptr;
}

}  // namespace ito::dialect
