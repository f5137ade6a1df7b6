// SPDX-License-Identifier: Apache-2.0
// What the words of dialect.h ask of the executor. Kernels include "dialect.h"; tests may include this for the
// schedule. The executor itself (worker.h and the .cpp files here) is compiled without ThreadSanitizer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "kernels/types.h"

namespace ito {

// The order in which blocks, warps, lanes and items run. A right kernel gives the same bits under all of them.
enum class SimSchedule { Forward, Reverse, Seeded };

// For launches from now on. The start value is ITO_SIM_SCHEDULE = forward | reverse | seed:N (default forward).
void sim_set_schedule(SimSchedule kind, uint64_t seed = 0);

namespace dialect {

using Where = std::source_location;

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};
inline thread_local Index3 thread_index;
inline thread_local Index3 block_index;
inline thread_local Dim3 block_size;
inline thread_local Dim3 grid_size;
// The running block's shared memory: [first, last).
inline thread_local const char* arena_first = nullptr;
inline thread_local const char* arena_last = nullptr;

struct Launch {
  const char* name;
  Dim3 grid;
  unsigned block;
  size_t smem;  // bytes of dynamic shared memory
  void (*run)(const void* arguments);
  const void* arguments;
};
void run_launch(const Launch& launch);
void run_items(int64_t n, void (*run)(const void* arguments, int64_t item), const void* arguments);

// Collectives over the block. Each thread gives a pointer to its value, which receives the result.
enum class Op : uint8_t {
  None,
  BlockSync,
  BlockSum,
  BlockMax,
  WarpSum,
  WarpMax,
  ShflXor,
  ShflDown,
  LdMatrix,
  LdMatrixTrans,
  Mma,
  WgMma,
  WgCommit,
  WgWait,
  SetRegisters,
  NamedSync,
  BarWait,
};
enum class Number : uint8_t { Float, Double, Int, Bits4, Bits8 };

void block_collective(Op op, Number type, void* value, Where where);
// Over the warp; `parameter` is the mask of ShflXor or the distance of ShflDown.
void warp_collective(Op op, Number type, void* value, int parameter, Where where);

void load_matrix(uint32_t* registers, const void* row, bool transposed, Where where);
// acc (mt, nt, 4) += a (mt, 4) * b (nt, 2), fragments of m16n8k16.
void multiply_tile(float* acc, const uint32_t* a, const uint32_t* b, int mt, int nt, Where where);

void copy_async(void* shared, const void* global, bool valid, Where where);
void copy_async_commit(Where where);
void copy_async_wait(int pending_groups, Where where);

// A static shared array: one object a SHARED statement and instantiation.
struct SharedSite {
  const char* name;
  size_t element;  // bytes
  size_t count;
  size_t align;
  bool integer;  // 0xFF.. may be a value
  Where where;
};
struct SharedState;
struct SharedHandle {
  SharedState* state;
  void* data;
};
SharedHandle shared_array(const SharedSite& site);
void* dynamic_shared(Where where);
void shared_escaped(SharedState* state);
void shared_read(SharedState* state, int64_t index, Where where);
void shared_write(SharedState* state, int64_t index, Where where);
[[noreturn]] void shared_out_of_range(SharedState* state, int64_t index, Where where);
// The same for `bytes` at an address inside the arena.
void shared_read_bytes(const void* p, size_t bytes, Where where);
void shared_write_bytes(const void* p, size_t bytes, Where where);
[[noreturn]] void misaligned(const char* word, const void* p, size_t alignment, Where where);

}  // namespace dialect
}  // namespace ito
