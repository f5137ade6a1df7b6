// SPDX-License-Identifier: Apache-2.0
// Who may touch shared memory while copies and products are under way, and what a thread leaves behind when it ends.
#include "kernels/dialect/sim/hopper_state.h"

namespace ito::dialect {
namespace {

bool overlap(const char* a, size_t a_bytes, const char* b, size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

// A copy may have landed and is there for nobody who has not waited: some lane of the warpgroup must have.
void check_waited(Worker& w, const Written& written, const char* word, Where where) {
  const unsigned first = w.current / kGroupLanes * kGroupLanes;
  for (unsigned i = first; i < first + kGroupLanes; ++i)
    if (w.hopper->seen[written.line][i] >= static_cast<int64_t>(written.phase)) return;
  w.abort_block(join_text("missing bar_wait: ", word, " reads what a copy brings in phase ", written.phase,
                          " of barrier ", written.line, ", and no lane of the warpgroup has waited for it (",
                          w.place(where), ")"));
}

}  // namespace

void check_under_way(Worker& w, const char* p, size_t bytes, bool write, const char* word, Where where) {
  const Hopper& h = *w.hopper;
  for (unsigned i = 0; i < h.transfer_count; ++i) {
    const Transfer& t = h.transfers[i];
    if ((t.store && !write) || !overlap(p, bytes, t.tile, t.bytes)) continue;
    w.abort_block(join_text(t.store ? "tma_store in flight: " : "tma_load in flight: ", word,
                            " meets what the copy of thread ", t.thread, " in line ", t.where.line(),
                            t.store ? " still reads (" : " has not brought yet (", w.place(where), ")"));
  }
  for (unsigned g = 0; write && g < kGroups; ++g)
    for (unsigned l = 0; l < h.groups[g].lock_count; ++l) {
      const Lock& lock = h.groups[g].locks[l];
      if (overlap(p, bytes, lock.first, static_cast<size_t>(lock.last - lock.first)))
        w.abort_block(join_text("buffer in use: ", word, " writes what the wg_mma of warpgroup ", g, " in line ",
                                lock.where.line(), " still reads (", w.place(where), ")"));
    }
}

void mark_written(Worker& w, const char* p, size_t bytes, Where where) {
  Hopper& h = *w.hopper;
  const auto first = static_cast<size_t>(p - arena_first);
  ++h.clock;
  for (size_t i = first / 4; i <= (first + bytes - 1) / 4 && i < kAddresses / 4; ++i)
    h.written[i] = {h.clock, static_cast<uint16_t>(w.current), static_cast<uint16_t>(where.line()), 0};
}

void check_ordinary(Worker& w, const void* p, size_t bytes, bool write, Where where) {
  const char* at = static_cast<const char*>(p);
  check_under_way(w, at, bytes, write, write ? "a write" : "a read", where);
  if (write) mark_written(w, at, bytes, where);
}

void check_asynchronous_read(Worker& w, const char* p, size_t bytes, const char* word, bool own, Where where) {
  const Hopper& h = *w.hopper;
  check_under_way(w, p, bytes, false, word, where);
  const auto first = static_cast<size_t>(p - arena_first);
  for (size_t i = first / 4; i <= (first + bytes - 1) / 4 && i < kAddresses / 4; ++i) {
    const Written& written = h.written[i];
    if (written.time < h.block_clock)
      w.abort_block(join_text("uninitialised read: ", word, " reads byte ", 4 * i,
                              " of shared memory, which nobody has written by Packed or a copy (", w.place(where),
                              ")"));
    if (written.thread == kByCopy) {
      if (!own) check_waited(w, written, word, where);
      continue;
    }
    const LaneState& writer = h.lane[written.thread];
    const bool fenced = writer.fence > written.time;
    if (fenced && (writer.published > written.time || (own && written.thread == w.current))) continue;
    w.abort_block(join_text("missing proxy_fence: ", word, " reads what thread ", written.thread, " stored in line ",
                            written.line, fenced ? " and fenced, with no barrier since" : " and has not fenced since",
                            " (", w.place(where), ")"));
  }
}

void check_exit(Worker& w) {
  const Hopper& h = *w.hopper;
  for (unsigned i = 0; i < h.transfer_count; ++i)
    if (h.transfers[i].store && h.transfers[i].thread == w.current)
      w.abort_block(join_text("tma_store in flight: the thread ends before it has waited for its copy (",
                              w.place(h.transfers[i].where), ")"));
  for (const Accumulator& a : h.groups[w.current / kGroupLanes].acc)
    if (a.used)
      w.abort_block(
          join_text("wg_mma in flight: the thread ends before it has waited for its product (", w.place(a.where), ")"));
  if (w.exited + 1 != w.threads) return;
  const unsigned groups = w.threads / kGroupLanes;
  const unsigned launched = w.threads < 256 ? 256 : 65536 / w.threads / 8 * 8;
  unsigned sum = 0;
  const Warpgroup* last = nullptr;
  for (unsigned g = 0; g < groups; ++g) {
    sum += h.groups[g].registers ? h.groups[g].registers : launched;
    if (h.groups[g].registers) last = &h.groups[g];
  }
  if (last && sum > launched * groups)
    w.abort_block(join_text("register budget: the warpgroups ask for ", sum, " registers a lane of each; a launch of ",
                            w.threads, " threads has ", launched * groups, " (", w.place(last->registers_where), ")"));
}

}  // namespace ito::dialect
