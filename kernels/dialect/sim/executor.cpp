// SPDX-License-Identifier: Apache-2.0
// Running a block: its threads are fibers, started lazily by one fiber until a thread has to wait. Lanes released by
// a warp's collective go to the front of the queue and threads released by a barrier to its back, so each warp runs
// as far as it can.
#include "kernels/dialect/sim/executor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/dialect/sim/hopper_state.h"
#include "kernels/dialect/sim/switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace ito {
namespace {

struct Schedule {
  SimSchedule kind = SimSchedule::Forward;
  uint64_t seed = 0;
};

Schedule schedule_from_environment() {
  const char* text = getenv("ITO_SIM_SCHEDULE");
  if (!text || !*text || !strcmp(text, "forward")) return {};
  if (!strcmp(text, "reverse")) return {SimSchedule::Reverse, 0};
  char* end = nullptr;
  if (!strncmp(text, "seed:", 5)) {
    const uint64_t seed = strtoull(text + 5, &end, 10);
    if (end != text + 5 && !*end) return {SimSchedule::Seeded, seed};
  }
  fail<UserError>("ITO_SIM_SCHEDULE is '", text, "'; expected forward, reverse or seed:N");
}

Schedule& schedule() {
  static Schedule schedule = schedule_from_environment();
  return schedule;
}

}  // namespace

void sim_set_schedule(SimSchedule kind, uint64_t seed) {
  schedule() = {kind, seed};
}

namespace dialect {

SimSchedule schedule_kind() {
  return schedule().kind;
}
uint64_t schedule_seed() {
  return schedule().seed;
}

namespace {

constexpr size_t kStackBytes = 256 * 1024;  // address space; pages are touched as used
constexpr size_t kGuardBytes = 4096;

uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

void fiber_main(void* argument) {
  Fiber* fiber = static_cast<Fiber*>(argument);
  Worker* worker = fiber->worker;
#if defined(__SANITIZE_ADDRESS__)
  const void* from = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &from, &bytes);
  worker->previous->stack = static_cast<char*>(const_cast<void*>(from));
  worker->previous->bytes = bytes;
#endif
  for (;;) {
    worker->run_thread(fiber);
    worker->finish_thread(fiber);
  }
}

// The k-th block or item to run: a bijection of [0, n).
int64_t permuted(int64_t k, int64_t n) {
  switch (schedule_kind()) {
    case SimSchedule::Forward:
      return k;
    case SimSchedule::Reverse:
      return n - 1 - k;
    case SimSchedule::Seeded:
      break;
  }
  // k -> (a k + b) mod n for a coprime to n.
  static thread_local int64_t for_n = 0, a = 1;
  static thread_local uint64_t for_seed = 0;
  if (for_n != n || for_seed != schedule_seed()) {
    for_n = n;
    for_seed = schedule_seed();
    a = static_cast<int64_t>(mix(for_seed + 1) % static_cast<uint64_t>(n)) | 1;
    for (;; a += 2) {
      int64_t x = a, y = n;
      while (y) {
        const int64_t r = x % y;
        x = y;
        y = r;
      }
      if (x == 1) break;
    }
  }
  const uint64_t b = mix(for_seed + 2);
  return static_cast<int64_t>((static_cast<unsigned __int128>(a) * static_cast<uint64_t>(k) + b) %
                              static_cast<uint64_t>(n));
}

}  // namespace

Worker::Worker()
    : thread(new Thread[kMaxThreads]()),
      order(new uint16_t[kMaxThreads]),
      ready(new uint16_t[kRing]),
      idle(new Fiber*[kMaxThreads + 1]),
      hopper(static_cast<Hopper*>(calloc(1, sizeof(Hopper)))),
      copies(new Copy[kMaxCopies]) {
  ITO_CHECK(hopper, "sim: no memory for barriers and copies");
}

Worker::~Worker() {
  for (const auto& fiber : fibers) {
    if (fiber->tsan) __tsan_destroy_fiber(fiber->tsan);
    munmap(fiber->stack - kGuardBytes, fiber->bytes + kGuardBytes);
  }
  free(cells);
  free(hopper);
#if defined(__SANITIZE_ADDRESS__)
  if (arena) __asan_unpoison_memory_region(arena, arena_bytes);
#endif
  free(arena);
}

uint64_t Worker::random() {
  return mix(random_state += 0x9E3779B97F4A7C15u);
}

Fiber* Worker::new_fiber() {
  auto fiber = std::make_unique<Fiber>();
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ITO_CHECK(memory != MAP_FAILED, "sim: no memory for the stack of thread ", fibers.size(), " of a block");
  mprotect(memory, kGuardBytes, PROT_NONE);
  fiber->worker = this;
  fiber->stack = static_cast<char*>(memory) + kGuardBytes;
  fiber->bytes = kStackBytes;
  // Staggered tops: equal offsets of all stacks would share a few cache sets.
  fiber->sp = prepare_stack(fiber->stack + kStackBytes - 64 * (fibers.size() % 32), fiber_main, fiber.get());
  if (under_tsan()) fiber->tsan = __tsan_create_fiber(0);
  fibers.push_back(std::move(fiber));
  return fibers.back().get();
}

// Under ThreadSanitizer thread i always has fiber i, because stack and identity belong together there.
Fiber* Worker::fiber_for(unsigned thread_number) {
  Fiber* fiber = under_tsan() ? fibers[thread_number].get() : idle_count ? idle[--idle_count] : new_fiber();
  fiber->thread = thread_number;
  return fiber;
}

// After a failure stacks hold half-run kernels: every fiber starts anew.
void Worker::reset_fibers() {
  idle_count = 0;
  for (size_t i = 0; i < fibers.size(); ++i) {
    Fiber* fiber = fibers[i].get();
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fiber->stack, fiber->bytes);
#endif
    fiber->sp = prepare_stack(fiber->stack + fiber->bytes - 64 * (i % 32), fiber_main, fiber);
    fiber->asan = nullptr;
    if (fiber->tsan) {
      // There and back, without the stack: what the abandoned thread did is over for the main context.
      __tsan_switch_to_fiber(fiber->tsan, 0);
      __tsan_switch_to_fiber(main.tsan, 0);
      __tsan_destroy_fiber(fiber->tsan);
      fiber->tsan = __tsan_create_fiber(0);
    }
    idle[idle_count++] = fiber;
  }
}

void Worker::jump(Fiber* from, Fiber* to, bool synchronize) {
  previous = from;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->asan, to->stack, to->bytes);
#endif
  if (under_tsan()) __tsan_switch_to_fiber(to->tsan, synchronize ? 0 : 1);
  ito_sim_switch(&from->sp, to->sp);
#if defined(__SANITIZE_ADDRESS__)
  const void* old = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(from->asan, &old, &bytes);
#endif
}

// Called with the exception kept: ends the block from a fiber.
void Worker::fail_block(Fiber* fiber) {
  jump(fiber, &main, true);
  abort();  // nobody returns to a failed block
}

void Worker::run_thread(Fiber* fiber) {
  Thread& t = thread[fiber->thread];
  current = fiber->thread;
  thread_index.x = current;
  t.fiber = fiber;
  t.state = State::Running;
  if (under_tsan()) __tsan_acquire(&started_token);
  try {
    launch->run(launch->arguments);
    if (hopper->used) check_exit(*this);
  } catch (...) {
    exception = std::current_exception();
  }
  if (exception) fail_block(fiber);
  if (under_tsan()) __tsan_release(&ended_token);
  thread[fiber->thread].state = State::Exited;
  ++exited;
}

int Worker::pick() {
  if (ready_count) {
    const unsigned next = ready[ready_head];
    ready_head = (ready_head + 1) % kRing;
    --ready_count;
    return static_cast<int>(next);
  }
  return started < threads ? order[started++] : -1;
}

// A copy lands at the latest when nothing else can run.
int Worker::pick_or_land() {
  int next = pick();
  while (next < 0 && hopper->used && land_one(*this)) next = pick();
  return next;
}

void Worker::finish_thread(Fiber* fiber) {
  int next = -1;
  try {
    next = pick_or_land();
    if (next < 0 && exited != threads) report_stuck();
  } catch (...) {
    exception = std::current_exception();
  }
  if (exception) fail_block(fiber);
  if (under_tsan()) __tsan_release(&ended_token);  // of what landed here
  if (next < 0) {
    idle[idle_count++] = fiber;
    jump(fiber, &main, false);
    return;
  }
  if (thread[next].state == State::Unstarted && !under_tsan()) {
    fiber->thread = static_cast<unsigned>(next);
    return;
  }
  Fiber* to = thread[next].state == State::Unstarted ? fiber_for(static_cast<unsigned>(next)) : thread[next].fiber;
  idle[idle_count++] = fiber;
  current = static_cast<unsigned>(next);
  thread_index.x = current;
  jump(fiber, to, false);
}

void Worker::transfer(unsigned next) {
  Fiber* from = thread[current].fiber;
  if (next == current) return;
  Fiber* to = thread[next].state == State::Unstarted ? fiber_for(next) : thread[next].fiber;
  current = next;
  thread_index.x = next;
  jump(from, to, false);
}

void Worker::wait() {
  const int next = pick_or_land();
  if (next < 0) report_stuck();
  transfer(static_cast<unsigned>(next));
}

// Behind all who can run.
void Worker::yield() {
  ready[(ready_head + ready_count++) % kRing] = static_cast<uint16_t>(current);
  wait();
}

void Worker::release(unsigned first, unsigned count, bool front) {
  uint16_t list[kMaxThreads];
  for (unsigned i = 0; i < count; ++i) list[i] = static_cast<uint16_t>(first + i);
  if (schedule_kind() == SimSchedule::Reverse)
    for (unsigned i = 0; i < count; ++i) list[i] = static_cast<uint16_t>(first + count - 1 - i);
  if (schedule_kind() == SimSchedule::Seeded) {
    for (unsigned i = count; i > 1; --i) {
      const unsigned j = static_cast<unsigned>(random() % i);
      const uint16_t held = list[i - 1];
      list[i - 1] = list[j];
      list[j] = held;
    }
  }
  for (unsigned i = 0; i < count; ++i) {
    thread[first + i].state = State::Running;
    thread[first + i].op = Op::None;
  }
  if (front) {
    ready_head = (ready_head + kRing - count) % kRing;
    for (unsigned i = 0; i < count; ++i) ready[(ready_head + i) % kRing] = list[i];
  } else {
    for (unsigned i = 0; i < count; ++i) ready[(ready_head + ready_count + i) % kRing] = list[i];
  }
  ready_count += count;
}

void Worker::order_threads(int64_t linear) {
  for (unsigned i = 0; i < threads; ++i) order[i] = static_cast<uint16_t>(i);
  if (schedule_kind() == SimSchedule::Reverse)
    for (unsigned i = 0; i < threads; ++i) order[i] = static_cast<uint16_t>(threads - 1 - i);
  if (schedule_kind() != SimSchedule::Seeded) return;
  random_state = mix(schedule_seed() + 3) ^ static_cast<uint64_t>(linear);
  // Half of the blocks start thread by thread in any order, half warp by warp with lanes in any order.
  const bool by_warp = random() & 1;
  const auto shuffle = [&](uint16_t* list, unsigned n) {
    for (unsigned i = n; i > 1; --i) {
      const unsigned j = static_cast<unsigned>(random() % i);
      const uint16_t held = list[i - 1];
      list[i - 1] = list[j];
      list[j] = held;
    }
  };
  if (!by_warp) return shuffle(order.get(), threads);
  const unsigned warps = (threads + kLanes - 1) / kLanes;
  uint16_t warp_order[kMaxThreads / kLanes];
  for (unsigned w = 0; w < warps; ++w) warp_order[w] = static_cast<uint16_t>(w);
  shuffle(warp_order, warps);
  unsigned filled = 0;
  for (unsigned w = 0; w < warps; ++w) {
    const unsigned first = warp_order[w] * kLanes, lanes = threads - first < kLanes ? threads - first : kLanes;
    for (unsigned l = 0; l < lanes; ++l) order[filled + l] = static_cast<uint16_t>(first + l);
    shuffle(&order[filled], lanes);
    filled += lanes;
  }
}

void Worker::run_block(int64_t linear) {
  const Dim3 grid = launch->grid;
  block_index = {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
                 static_cast<unsigned>(linear / grid.x / grid.y)};
  threads = launch->block;
  started = exited = at_barrier = 0;
  ready_head = ready_count = 0;
  for (unsigned w = 0; w < kMaxThreads / kLanes; ++w) at_warp[w] = 0;
  for (unsigned i = 0; i < threads; ++i) {
    Thread& t = thread[i];
    t.fiber = nullptr;
    t.state = State::Unstarted;
    t.op = Op::None;
    t.first_copy = t.last_copy = kNoCopy;
    t.groups = 0;
  }
  order_threads(linear);
  hopper->used = false;
  while (under_tsan() && fibers.size() < threads) new_fiber();
  open_arena();
  if (under_tsan()) {
    main.tsan = __tsan_get_current_fiber();
    idle_count = 0;
    __tsan_release(&started_token);
  }
  jump(&main, fiber_for(static_cast<unsigned>(pick())), false);
  if (exception) {
    const std::exception_ptr thrown = std::exchange(exception, nullptr);
    const std::string where = place({});
    reset_fibers();
    close_arena();
    try {
      std::rethrow_exception(thrown);
    } catch (const BlockError&) {
      throw;
    } catch (const std::exception& e) {
      fail(e.what(), " (", where, ")");
    }
  }
  if (unwritten) {
    const std::string text = unwritten_text();
    close_arena();
    fail(text);
  }
  close_arena();
}

void Worker::run_blocks(const Launch& l, int64_t first, int64_t step, int64_t blocks, std::atomic<bool>& stop) {
  launch = &l;
  grid_size = l.grid;
  block_size = Dim3(l.block);
  current_worker = this;
  struct Leave {
    Worker* worker;
    ~Leave() {
      current_worker = nullptr;
      worker->launch = nullptr;
      thread_index = {};
      if (under_tsan()) __tsan_acquire(&worker->ended_token);
    }
  } leave{this};
  for (int64_t k = first; k < blocks && !stop.load(std::memory_order_relaxed); k += step)
    run_block(permuted(k, blocks));
}

void run_launch(const Launch& launch) {
  const int64_t blocks = int64_t{1} * launch.grid.x * launch.grid.y * launch.grid.z;
  ITO_CHECK(launch.block >= 1 && launch.block <= kMaxThreads, "a block of ", launch.block, " threads; expected 1 to ",
            kMaxThreads);
  ITO_CHECK(launch.grid.x < (1u << 31) && launch.grid.y <= 65535 && launch.grid.z <= 65535, "a grid of ", launch.grid.x,
            " x ", launch.grid.y, " x ", launch.grid.z, " blocks; a GPU takes at most 2147483647 x 65535 x 65535");
  ITO_CHECK(launch.smem <= kMaxShared, launch.smem, " bytes of dynamic shared memory; a block has at most ",
            kMaxShared);
  ITO_CHECK(!current_worker, "a launch from inside a kernel");
  const int workers = static_cast<int>(std::min<int64_t>(blocks, sim_workers()));
  run_workers(workers, [&](Worker& worker, int number, std::atomic<bool>& failed) {
    worker.run_blocks(launch, number, workers, blocks, failed);
  });
}

void run_items(int64_t n, void (*run)(const void*, int64_t), const void* arguments) {
  // Neighbours on different workers where races are looked for, in runs of 64 elsewhere.
  const int64_t share = under_tsan() ? 1 : 64, shares = ceil_div(n, share);
  const int workers = static_cast<int>(std::min<int64_t>(shares, sim_workers()));
  run_workers(workers, [&](Worker&, int number, std::atomic<bool>& failed) {
    for (int64_t s = number; s < shares && !failed.load(std::memory_order_relaxed); s += workers)
      for (int64_t k = s * share; k < std::min(n, (s + 1) * share); ++k) run(arguments, permuted(k, n));
  });
}

}  // namespace dialect
}  // namespace ito
