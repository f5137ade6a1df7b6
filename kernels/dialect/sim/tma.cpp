// SPDX-License-Identifier: Apache-2.0
// Copies by the tensor memory accelerator. A copy lands when the schedule says: at the latest moment (forward), at once
// (reverse), or at any word between (seeded). Until then a load's destination is NaN and reading it is an error, and so
// is writing what a store still reads.
#include "kernels/dialect/sim/hopper_state.h"

namespace ito::dialect {
namespace {

void copy_elements(uint16_t* to, const uint16_t* from, int count) {
  for (int i = 0; i < count; ++i) {
    to[i] = from ? from[i] : 0;
    asm volatile("" ::: "memory");  // stays a loop (worker.h)
  }
}

void check_tile(Worker& w, const char* word, const TmaBox& map, const void* tile, int rank, Where where) {
  const size_t align = map.rows == TileRows::Plain ? 128 : 8 * static_cast<size_t>(map.rows);
  if (rank != map.rank)
    w.abort_block(join_text(word, ": ", rank, " coordinates for a map of ", map.rank, " (", w.place(where), ")"));
  if (reinterpret_cast<uintptr_t>(tile) % align) misaligned(word, tile, align, where);
  const SharedState* array = w.find(tile);
  const auto bytes = static_cast<size_t>(map.bytes());
  if (!array || static_cast<const char*>(tile) + bytes > array->data + array->element * array->count)
    w.abort_block(
        join_text("shared overrun: ", word, " of ", bytes, " bytes does not fit at its tile (", w.place(where), ")"));
}

Transfer& enqueue(Worker& w, const char* word, Where where) {
  if (w.hopper->transfer_count == kMaxTransfers)
    w.abort_block(join_text("more than ", kMaxTransfers, " copies under way: ", word, " (", w.place(where), ")"));
  return w.hopper->transfers[w.hopper->transfer_count++];
}

// Walks the box in the order of its tile, 16 bytes at a time: element indices, then the address with its chunk
// permuted.
void move(const Transfer& t) {
  const TmaBox& m = t.map;
  int64_t taken[TmaBox::kMaxRank];
  for (int d = 0; d < TmaBox::kMaxRank; ++d) taken[d] = d < m.rank ? m.taken(d) : 1;
  const int64_t rows = static_cast<int64_t>(t.bytes) / 2 / taken[0];
  const uint64_t chunks = static_cast<uint64_t>(m.rows) / 16;
  uint64_t line = reinterpret_cast<uint64_t>(t.tile);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t rest = row, byte = 0;
    bool inside = true;
    for (int d = 1; d < m.rank; ++d) {
      const int64_t at = t.at[d] + rest % taken[d] * m.step[d];
      rest /= taken[d];
      inside = inside && at >= 0 && at < m.size[d];
      byte += at * m.stride[d];
    }
    for (int64_t c = 0; c < taken[0]; c += 8, line += 16) {
      const uint64_t address = chunks ? line ^ (line >> 3 & (chunks - 1) << 4) : line;
      auto* shared = reinterpret_cast<uint16_t*>(address);
      const int64_t first = t.at[0] + c;
      for (int i = 0; i < 8; ++i) {
        const bool there = inside && first + i >= 0 && first + i < m.size[0];
        uint16_t* global =
            there ? reinterpret_cast<uint16_t*>(static_cast<char*>(const_cast<void*>(m.base)) + byte) + first + i
                  : nullptr;
        if (!t.store) copy_elements(shared + i, global, 1);
        if (t.store && there) copy_elements(global, shared + i, 1);
      }
      if (!under_tsan() || !inside || first < 0 || first >= m.size[0]) continue;
      void* global = static_cast<char*>(const_cast<void*>(m.base)) + byte + 2 * first;
      const auto bytes = static_cast<unsigned long>(2 * (m.size[0] - first < 8 ? m.size[0] - first : 8));
      t.store ? __tsan_write_range(global, bytes) : __tsan_read_range(global, bytes);
    }
  }
}

void land(Worker& w, unsigned number) {
  Hopper& h = *w.hopper;
  const Transfer t = h.transfers[number];
  for (unsigned i = number + 1; i < h.transfer_count; ++i) h.transfers[i - 1] = h.transfers[i];
  --h.transfer_count;
  if (!t.store && w.exited == w.threads)
    w.abort_block(join_text("tma_load in flight: the block ended and nobody had waited for the copy (",
                            w.place(t.where, t.thread), ")"));
  move(t);
  if (!t.store) complete_bytes(w, t.bar, t.bytes, t.where);
}

}  // namespace

bool land_one(Worker& w) {
  const unsigned n = w.hopper->transfer_count;
  if (!n) return false;
  // Forward: the oldest last, because what was issued together need not land in that order.
  land(w, schedule_kind() == SimSchedule::Seeded    ? static_cast<unsigned>(w.random() % n)
          : schedule_kind() == SimSchedule::Forward ? n - 1
                                                    : 0);
  return true;
}

void maybe_land(Worker& w) {
  if (!w.hopper->transfer_count || schedule_kind() == SimSchedule::Forward) return;
  if (schedule_kind() == SimSchedule::Reverse)
    while (land_one(w)) {
    }
  else if (w.random() % 4 == 0)
    land_one(w);
}

void land_all_of(Worker& w, unsigned thread, uint32_t before_group) {
  for (unsigned i = 0; i < w.hopper->transfer_count;) {
    const Transfer& t = w.hopper->transfers[i];
    if (t.store && t.thread == thread && t.group < before_group)
      land(w, i);
    else
      ++i;
  }
}

void tma_load(void* tile, const TmaBox& map, uint64_t* bar, const int* at, int rank, Where where) {
  Worker& w = worker_in_block("tma_load", where);
  check_tile(w, "tma_load", map, tile, rank, where);
  Hopper& h = *w.hopper;
  unsigned number = 0;
  while (number < h.bar_count && h.bars[number].at != bar) ++number;
  if (!h.used || number == h.bar_count)
    w.abort_block(join_text("tma_load at a barrier that nobody made with bar_init (", w.place(where), ")"));
  char* to = static_cast<char*>(tile);
  const auto bytes = static_cast<size_t>(map.bytes());
  check_under_way(w, to, bytes, true, "tma_load", where);
  Transfer& t = enqueue(w, "tma_load", where);
  t.store = false;
  t.map = map;
  t.tile = to;
  t.bytes = bytes;
  for (int d = 0; d < rank; ++d) t.at[d] = at[d];
  t.bar = number;
  t.thread = w.current;
  t.where = where;
  const uint16_t nan = 0xFFFF;
  for (size_t i = 0; i < bytes / 2; ++i) copy_elements(reinterpret_cast<uint16_t*>(to) + i, &nan, 1);
  for (size_t i = 0; i < bytes; i += 4)
    h.written[static_cast<size_t>(to - arena_first + static_cast<ptrdiff_t>(i)) / 4] = {
        h.block_clock, kByCopy, static_cast<uint16_t>(number), h.bars[number].phase};
  maybe_land(w);
}

void tma_store(const TmaBox& map, const void* tile, const int* at, int rank, Where where) {
  Worker& w = worker_in_block("tma_store", where);
  check_tile(w, "tma_store", map, tile, rank, where);
  char* from = static_cast<char*>(const_cast<void*>(tile));
  const auto bytes = static_cast<size_t>(map.bytes());
  if (!w.hopper->used) w.hopper->open();
  check_asynchronous_read(w, from, bytes, "tma_store", true, where);
  Transfer& t = enqueue(w, "tma_store", where);
  t.store = true;
  t.map = map;
  t.tile = from;
  t.bytes = bytes;
  for (int d = 0; d < rank; ++d) t.at[d] = at[d];
  t.thread = w.current;
  t.group = w.hopper->lane[w.current].groups;
  t.where = where;
  maybe_land(w);
}

void tma_store_commit(Where where) {
  Worker& w = worker_in_block("tma_store_commit", where);
  ++w.hopper->lane[w.current].groups;
}

void tma_store_wait(int pending_groups, Where where) {
  Worker& w = worker_in_block("tma_store_wait", where);
  const uint32_t committed = w.hopper->lane[w.current].groups;
  if (committed > static_cast<uint32_t>(pending_groups))
    land_all_of(w, w.current, committed - static_cast<uint32_t>(pending_groups));
}

}  // namespace ito::dialect
