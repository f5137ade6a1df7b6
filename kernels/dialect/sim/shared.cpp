// SPDX-License-Identifier: Apache-2.0
// Shared memory: an arena of NaN with redzones, a record of who touched each element of a SHARED array after which
// barrier, and asynchronous copies that arrive only when they are waited for.
#include <cstdlib>
#include <cstring>

#include "kernels/dialect/sim/hopper_state.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define ARENA_FORBID(p, n) __asan_poison_memory_region(p, n)
#define ARENA_ALLOW(p, n) __asan_unpoison_memory_region(p, n)
#else
#define ARENA_FORBID(p, n) (void)0
#define ARENA_ALLOW(p, n) (void)0
#endif

namespace ito::dialect {
namespace {

constexpr size_t kAlign = 128, kRedzone = 128;
constexpr size_t kArenaBytes = kMaxStaticShared + kMaxArrays * (kAlign + kRedzone);
constexpr size_t kCells = kMaxStaticShared + kMaxShared;

// A loop that stays a loop: on a fiber a call of memset would be seen by ThreadSanitizer.
void fill_nan(char* p, size_t bytes) {
  const uint64_t ones = ~uint64_t{0};
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    __builtin_memcpy(p + i, &ones, 8);
    asm volatile("" ::: "memory");
  }
  for (; i < bytes; ++i) {
    p[i] = static_cast<char>(0xFF);
    asm volatile("" ::: "memory");
  }
}

void copy16(char* to, const char* from) {
  for (int i = 0; i < 2; ++i) {
    uint64_t word = 0;
    if (from) __builtin_memcpy(&word, from + 8 * i, 8);
    __builtin_memcpy(to + 8 * i, &word, 8);
  }
}

}  // namespace

// Under ThreadSanitizer a fresh block of memory each time, and its history forgotten: what an earlier block did to
// the same bytes is no race, and blocks must not become ordered through them.
void Worker::open_arena() {
  const size_t wanted = kArenaBytes + launch->smem;
  if (under_tsan() || wanted > arena_bytes) {
    if (under_tsan()) {
      AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
      AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    ARENA_ALLOW(arena, arena_bytes);
    free(arena);
    void* memory = nullptr;
    if (posix_memalign(&memory, 4096, wanted) != 0) fail("sim: no memory for ", wanted, " bytes of shared memory");
    arena = static_cast<char*>(memory);
    arena_bytes = wanted;
    ARENA_FORBID(arena, arena_bytes);
    if (under_tsan()) {
      AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
      AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
  }
  if (!cells) {
    cells = static_cast<Cell*>(calloc(kCells, sizeof(Cell)));
    ITO_CHECK(cells, "sim: no memory for the record of shared memory");
  }
  if (epoch > 0xF0000000u) {  // the counter ends: forget everything and begin anew
    memset(cells, 0, kCells * sizeof(Cell));
    epoch = 1;
  }
  block_epoch = ++epoch;
  cursor = static_bytes = cells_used = 0;
  array_count = 0;
  dynamic = unwritten = nullptr;
  arena_first = arena;
  arena_last = arena + arena_bytes;
  // Copies nobody waited for are lost with their block.
  free_copy = kNoCopy;
  copies_used = 0;
}

void Worker::close_arena() {
  arena_first = arena_last = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  ARENA_FORBID(arena, cursor);
#else
  for (unsigned a = 0; a < array_count && exited == threads; ++a) {
    const SharedState& array = arrays[a];
    const char* end = array.data + array.element * array.count;
    for (size_t i = 0; i < kRedzone; ++i)
      if (end[i] != static_cast<char>(0xFF))
        fail("shared overrun: something was written ", i, " bytes past the end of ", array.name, " (",
             array.element * array.count, " bytes",
             array.site ? ", " + text_of(array.site->where) : std::string(", dynamic"), ", block (", block_index.x,
             ", ", block_index.y, ", ", block_index.z, "))");
  }
#endif
}

SharedState* Worker::allocate(const SharedSite* site, const char* name, size_t element, size_t count, size_t align) {
  const Where where = site ? site->where : Where{};
  const size_t bytes = element * count;
  if (array_count == kMaxArrays)
    abort_block(join_text("more than ", kMaxArrays, " shared arrays in a block (", place(where), ")"));
  if (site) {
    static_bytes += bytes;
    if (static_bytes > kMaxStaticShared)
      abort_block(join_text("static shared memory of ", static_bytes, " bytes with ", name, "; a kernel has at most ",
                            kMaxStaticShared, " (", place(where), ")"));
  }
  if (static_bytes + launch->smem > kMaxShared)
    abort_block(join_text(static_bytes, " static and ", launch->smem,
                          " dynamic bytes of shared memory; a block has at most ", kMaxShared, " (", place(where),
                          ")"));
  const size_t step = align > kAlign ? align : kAlign;
  const size_t begin = (cursor + step - 1) / step * step;
  SharedState& array = arrays[array_count++];
  array.site = site;
  array.name = name;
  array.data = arena + begin;
  array.element = element;
  array.count = count;
  array.integer = site ? site->integer : true;
  array.escaped = !site;
  array.cells = cells + cells_used;
  cells_used += count;
  cursor = begin + bytes + kRedzone;
#if defined(__SANITIZE_ADDRESS__)
  ARENA_ALLOW(array.data, bytes);
  fill_nan(array.data, bytes);
#else
  fill_nan(array.data, bytes + kRedzone);
#endif
  return &array;
}

SharedState* Worker::find(const void* p) {
  for (unsigned a = 0; a < array_count; ++a)
    if (p >= arrays[a].data && p < arrays[a].data + arrays[a].element * arrays[a].count) return &arrays[a];
  return nullptr;
}

std::string Worker::element_text(const SharedState& array, size_t index) const {
  return array.site ? join_text(array.name, "[", index, "]")
                    : join_text("byte ", index * array.element, " of ", array.name);
}

std::string Worker::unwritten_text() const {
  return join_text("uninitialised read: ", element_text(*unwritten, unwritten_index),
                   " had not been written in this block: nobody writes it, or a barrier is missing (",
                   place(unwritten_where, unwritten_thread), ")");
}

void Worker::check_read(SharedState& array, size_t index, Where where) {
  Cell& cell = array.cells[index];
  const uint16_t me = static_cast<uint16_t>(current);
  if (cell.written >= block_epoch) {
    const unsigned writer = cell.writer & ~kInFlight;
    if (cell.writer & kInFlight)
      abort_block(join_text("short cp_async wait: ", element_text(array, index), " is read while the copy that thread ",
                            writer, " began in line ", cell.write_line, " is in flight (", place(where), ")"));
    if (cell.written == epoch && writer != me)
      abort_block(join_text("missing barrier: ", element_text(array, index), " is read but thread ", writer,
                            " wrote it in line ", cell.write_line, " since the last barrier (", place(where), ")"));
  } else if (!(array.escaped && array.integer)) {
    // A plain pointer may have written it unseen; then it does not hold the poison any more.
    bool poison = true;
    for (size_t i = 0; i < array.element; ++i)
      poison = poison && array.data[index * array.element + i] == static_cast<char>(0xFF);
    if (poison && !unwritten) {
      unwritten = &array;
      unwritten_index = index;
      unwritten_thread = current;
      unwritten_where = where;
      if (array.integer) abort_block(unwritten_text());  // it may be an index: go no further
    }
  }
  if (cell.read != epoch) {
    cell.read = epoch;
    cell.reader = me;
    cell.read_line = static_cast<uint16_t>(where.line());
  } else if (cell.reader != me) {
    cell.reader = kManyReaders;
  }
}

void Worker::check_write(SharedState& array, size_t index, Where where, bool in_flight) {
  Cell& cell = array.cells[index];
  const uint16_t me = static_cast<uint16_t>(current);
  if (cell.written >= block_epoch) {
    const unsigned writer = cell.writer & ~kInFlight;
    if (cell.writer & kInFlight)
      abort_block(join_text("short cp_async wait: ", element_text(array, index),
                            " is written while the copy that thread ", writer, " began in line ", cell.write_line,
                            " is in flight (", place(where), ")"));
    if (cell.written == epoch && writer != me)
      abort_block(join_text("missing barrier: ", element_text(array, index), " is written but thread ", writer,
                            " wrote it in line ", cell.write_line, " since the last barrier (", place(where), ")"));
  }
  if (cell.read == epoch && cell.reader != me)
    abort_block(
        join_text("missing barrier: ", element_text(array, index), " is written but ",
                  cell.reader == kManyReaders ? std::string("other threads") : join_text("thread ", cell.reader),
                  " read it in line ", cell.read_line, " since the last barrier (", place(where), ")"));
  cell.written = epoch;
  cell.writer = in_flight ? static_cast<uint16_t>(me | kInFlight) : me;
  cell.write_line = static_cast<uint16_t>(where.line());
}

void Worker::check_range(const void* p, size_t bytes, bool write, bool in_flight, Where where) {
  if (hopper->used) check_ordinary(*this, p, bytes, write, where);
  SharedState* array = find(p);
  const size_t at = array ? static_cast<size_t>(static_cast<const char*>(p) - array->data) : 0;
  if (!array || at + bytes > array->element * array->count)
    abort_block(join_text("shared overrun: ", bytes, " bytes ", write ? "written" : "read", " at byte ", at, " of ",
                          array ? join_text(array->name, ", which has ", array->element * array->count)
                                : std::string("nothing: between shared arrays"),
                          " (", place(where), ")"));
  const size_t first = at / array->element, last = (at + bytes - 1) / array->element;
  for (size_t i = first; i <= last; ++i)
    if (write)
      check_write(*array, i, where, in_flight);
    else
      check_read(*array, i, where);
}

SharedHandle shared_array(const SharedSite& site) {
  Worker& w = worker_in_block("SHARED", site.where);
  for (unsigned a = 0; a < w.array_count; ++a)
    if (w.arrays[a].site == &site) return {&w.arrays[a], w.arrays[a].data};
  SharedState* array = w.allocate(&site, site.name, site.element, site.count, site.align);
  return {array, array->data};
}

void* dynamic_shared(Where where) {
  Worker& w = worker_in_block("dyn_shared", where);
  if (w.launch->smem == 0)
    w.abort_block(join_text("dyn_shared in a launch with 0 bytes of dynamic shared memory (", w.place(where), ")"));
  if (!w.dynamic) w.dynamic = w.allocate(nullptr, "dynamic shared memory", 1, w.launch->smem, 1);
  return w.dynamic->data;
}

void shared_escaped(SharedState* array) {
  array->escaped = true;
}
void shared_read(SharedState* array, int64_t index, Where where) {
  current_worker->check_read(*array, static_cast<size_t>(index), where);
}
void shared_write(SharedState* array, int64_t index, Where where) {
  current_worker->check_write(*array, static_cast<size_t>(index), where);
}
void shared_out_of_range(SharedState* array, int64_t index, Where where) {
  Worker& w = *current_worker;
  w.abort_block(join_text("shared overrun: ", array->name, "[", index, "] of an array of ", array->count, " (",
                          w.place(where), ")"));
}
void shared_read_bytes(const void* p, size_t bytes, Where where) {
  current_worker->check_range(p, bytes, false, false, where);
}
void shared_write_bytes(const void* p, size_t bytes, Where where) {
  current_worker->check_range(p, bytes, true, false, where);
}

void misaligned(const char* word, const void* p, size_t alignment, Where where) {
  const std::string text = join_text("misaligned address: ", word, " needs ", alignment, " bytes, the address is ",
                                     reinterpret_cast<uintptr_t>(p) % alignment, " past a multiple");
  if (!current_worker) fail(text, " (", text_of(where), ")");
  current_worker->abort_block(join_text(text, " (", current_worker->place(where), ")"));
}

// The bytes travel at the wait. Until then the destination is NaN, and a read of it is an error where it is seen.
void copy_async(void* shared, const void* global, bool valid, Where where) {
  Worker& w = worker_in_block("cp_async16", where);
  if (reinterpret_cast<uintptr_t>(shared) % 16) misaligned("cp_async16 (destination)", shared, 16, where);
  if (valid && reinterpret_cast<uintptr_t>(global) % 16) misaligned("cp_async16 (source)", global, 16, where);
  if (shared < arena_first || shared >= arena_last)
    w.abort_block(join_text("cp_async16: the destination is not shared memory (", w.place(where), ")"));
  w.check_range(shared, 16, true, true, where);
  if (under_tsan()) {
    __tsan_write_range(shared, 16);
    if (valid) __tsan_read_range(const_cast<void*>(global), 16);
  }
  fill_nan(static_cast<char*>(shared), 16);
  unsigned slot = w.free_copy;
  if (slot != kNoCopy) {
    w.free_copy = w.copies[slot].next;
  } else {
    if (w.copies_used == kMaxCopies)
      w.abort_block(join_text("more than ", kMaxCopies, " asynchronous copies in flight (", w.place(where), ")"));
    slot = w.copies_used++;
  }
  Thread& t = w.thread[w.current];
  w.copies[slot] = {static_cast<char*>(shared), valid ? static_cast<const char*>(global) : nullptr, t.groups, kNoCopy};
  if (t.first_copy == kNoCopy)
    t.first_copy = slot;
  else
    w.copies[t.last_copy].next = slot;
  t.last_copy = slot;
}

void copy_async_commit(Where where) {
  Worker& w = worker_in_block("cp_async_commit", where);
  ++w.thread[w.current].groups;
}

void copy_async_wait(int pending_groups, Where where) {
  Worker& w = worker_in_block("cp_async_wait", where);
  Thread& t = w.thread[w.current];
  while (t.first_copy != kNoCopy) {
    const unsigned slot = t.first_copy;
    Copy& copy = w.copies[slot];
    if (copy.group + static_cast<unsigned>(pending_groups) >= t.groups) break;
    copy16(copy.to, copy.from);
    if (under_tsan()) __tsan_write_range(copy.to, 16);
    if (w.hopper->used) mark_written(w, copy.to, 16, where);
    SharedState* array = w.find(copy.to);
    const size_t at = static_cast<size_t>(copy.to - array->data);
    for (size_t i = at / array->element; i <= (at + 15) / array->element; ++i) {
      Cell& cell = array->cells[i];
      cell.written = w.epoch;
      cell.writer = static_cast<uint16_t>(w.current);
    }
    t.first_copy = copy.next;
    copy.next = w.free_copy;
    w.free_copy = slot;
  }
}

}  // namespace ito::dialect
