// SPDX-License-Identifier: Apache-2.0
// Barriers with phases, named barriers, the split of registers, and tile memory: what the threads of a specialised
// block meet at. A wait parks its fiber; when nothing can run and no copy is under way, the block is deadlocked and
// says so.
#include "kernels/dialect/sim/hopper_state.h"

namespace ito::dialect {

// The first Hopper word of a block: whatever an earlier block left is forgotten.
void Hopper::open() {
  used = true;
  block_clock = ++clock;
  bar_count = transfer_count = 0;
  for (Named& n : named) n = {};
  for (Warpgroup& g : groups) {
    g.waiting = g.lock_count = g.registers = 0;
    g.committed = 0;
    for (Accumulator& a : g.acc) a.used = false;
  }
  for (LaneState& l : lane) {
    for (Fenced& f : l.fenced) f.at = nullptr;
    l.next_fenced = 0;
    l.fence = l.published = l.groups = 0;
  }
}

namespace {

Worker& hopper_block(const char* word, Where where) {
  Worker& w = worker_in_block(word, where);
  if (!w.hopper->used) w.hopper->open();
  return w;
}

unsigned number_of(Worker& w, const uint64_t* bar, const char* word, Where where) {
  Hopper& h = *w.hopper;
  for (unsigned b = 0; b < h.bar_count; ++b) {
    if (h.bars[b].at != bar) continue;
    if (h.bars[b].made == w.epoch && h.bars[b].maker != w.current)
      w.abort_block(join_text("missing barrier: ", word, " at a barrier that thread ", h.bars[b].maker,
                              " made in line ", h.bars[b].where.line(), " since the last block_sync (", w.place(where),
                              ")"));
    return b;
  }
  w.abort_block(join_text(word, " at a barrier that nobody made with bar_init (", w.place(where), ")"));
}

bool passed(const Bar& bar, unsigned parity) {
  return (bar.phase & 1) != parity;
}

std::string bar_text(const Bar& bar, unsigned number) {
  return join_text("barrier ", number, " (", text_of(bar.where), "): phase ", bar.phase, ", ", bar.pending, " of ",
                   bar.count, " arrivals and ", bar.bytes, " bytes missing");
}

void complete_if_due(Worker& w, unsigned number) {
  Bar& bar = w.hopper->bars[number];
  if (bar.pending || bar.bytes) return;
  ++bar.phase;
  bar.pending = bar.count;
  ++w.epoch;
  const bool down = schedule_kind() == SimSchedule::Reverse;
  for (unsigned k = 0; k < w.threads; ++k) {
    const unsigned i = down ? w.threads - 1 - k : k;
    Thread& t = w.thread[i];
    if (t.state == State::AtPhase && t.value == &bar && passed(bar, static_cast<unsigned>(t.parameter)))
      w.release(i, 1, false);
  }
}

}  // namespace

std::string bar_texts(const Worker& w) {
  std::string text;
  for (unsigned b = 0; b < w.hopper->bar_count; ++b) text += "; " + bar_text(w.hopper->bars[b], b);
  return text;
}

void publish_fence(Worker& w) {
  LaneState& l = w.hopper->lane[w.current];
  l.published = l.fence;
}

void complete_bytes(Worker& w, unsigned number, size_t bytes, Where where) {
  Bar& bar = w.hopper->bars[number];
  bar.bytes -= static_cast<int64_t>(bytes);
  if (bar.bytes < 0)
    w.abort_block(join_text("byte count: a copy of ", bytes, " bytes brings ", -bar.bytes,
                            " more than were expected by then; ", bar_text(bar, number), " (", w.place(where), ")"));
  complete_if_due(w, number);
}

unsigned char* tile_memory(Where where) {
  Worker& w = hopper_block("tile_memory", where);
  const auto start = reinterpret_cast<uintptr_t>(dynamic_shared(where));
  const uintptr_t first = (start + 1023) / 1024 * 1024;
  if (first >= start + w.launch->smem)
    w.abort_block(join_text("tile_memory in a launch with ", w.launch->smem,
                            " bytes of dynamic shared memory; it needs kTileSlack and the tiles (", w.place(where),
                            ")"));
  return reinterpret_cast<unsigned char*>(first);
}

uint32_t tile_address(const void* tile, Where where) {
  Worker& w = hopper_block("a matrix descriptor", where);
  if (tile < arena_first || tile >= arena_first + kAddresses)
    w.abort_block(join_text("a matrix descriptor of what is not shared memory (", w.place(where), ")"));
  return static_cast<uint32_t>(static_cast<const char*>(tile) - arena_first);
}

void bar_init(uint64_t* at, unsigned count, Where where) {
  Worker& w = hopper_block("bar_init", where);
  Hopper& h = *w.hopper;
  if (reinterpret_cast<uintptr_t>(at) % 8) misaligned("bar_init", at, 8, where);
  if (!count) w.abort_block(join_text("bar_init with a count of 0 (", w.place(where), ")"));
  for (unsigned b = 0; b < h.bar_count; ++b)
    if (h.bars[b].at == at)
      w.abort_block(join_text("barrier in use: bar_init of a barrier that line ", h.bars[b].where.line(), " made (",
                              w.place(where), ")"));
  if (h.bar_count == kMaxBars) w.abort_block(join_text("more than ", kMaxBars, " barriers (", w.place(where), ")"));
  *at = 0;
  for (unsigned i = 0; i < w.threads; ++i) h.seen[h.bar_count][i] = kNever;
  h.bars[h.bar_count++] = {at, count, count, 0, 0, w.current, w.epoch, where};
}

void bar_arrive(uint64_t* at, unsigned bytes, bool expects, Where where) {
  const char* word = expects ? "bar_expect" : "bar_arrive";
  Worker& w = hopper_block(word, where);
  const unsigned number = number_of(w, at, word, where);
  Bar& bar = w.hopper->bars[number];
  if (!bar.pending)
    w.abort_block(join_text("arrival count: ", word, " while all ", bar.count, " arrivals of phase ", bar.phase,
                            " are there (", w.place(where), ")"));
  publish_fence(w);
  if (under_tsan()) __tsan_release(&bar);
  bar.bytes += bytes;
  --bar.pending;
  complete_if_due(w, number);
  maybe_land(w);
}

// What a thread waits for is the phase behind the one it saw last. A barrier two phases on has the same parity again,
// and a GPU would wait for a phase that never comes, or take an old one for the new.
void bar_wait(uint64_t* at, unsigned parity, Where where) {
  Worker& w = hopper_block("bar_wait", where);
  maybe_land(w);
  const unsigned number = number_of(w, at, "bar_wait", where);
  Bar& bar = w.hopper->bars[number];
  if (parity > 1) w.abort_block(join_text("bar_wait for parity ", parity, " (", w.place(where), ")"));
  int64_t& seen = w.hopper->seen[number][w.current];
  if (seen == kNever)
    seen = parity ? -1 : 0;
  else if ((seen & 1) != static_cast<int64_t>(parity))
    ++seen;
  if (static_cast<int64_t>(bar.phase) >= seen + 2)
    w.abort_block(join_text("phase slip: the wait for phase ", seen, " comes when ", bar.phase,
                            " are complete, and cannot tell; ", bar_text(bar, number), " (", w.place(where), ")"));
  if (!passed(bar, parity)) {
    w.park(State::AtPhase, Op::BarWait, Number::Int, &bar, static_cast<int>(parity), where);
    w.wait();
  }
  if (under_tsan()) __tsan_acquire(&bar);
}

void named_sync(int id, int threads, Where where) {
  Worker& w = hopper_block("named_sync", where);
  if (id < 1 || id >= static_cast<int>(kMaxNamed) || threads < 1 || threads % static_cast<int>(kLanes))
    w.abort_block(join_text("named_sync(", id, ", ", threads, "): expected a number from 1 to 15 and whole warps (",
                            w.place(where), ")"));
  Named& named = w.hopper->named[id];
  if (named.arrived && (named.threads != static_cast<unsigned>(threads) || !same_place(named.where, where)))
    w.abort_block(join_text("wrong barrier site: named barrier ", id, " of ", named.threads, " threads in ",
                            text_of(named.where), " is that of ", threads, " threads here (", w.place(where), ")"));
  named.threads = static_cast<unsigned>(threads);
  named.where = where;
  const unsigned turn = named.turn & 1;
  if (under_tsan()) __tsan_release(&named.token[turn]);
  publish_fence(w);
  w.park(State::AtNamed, Op::NamedSync, Number::Int, nullptr, id, where);
  if (++named.arrived == named.threads) {
    named.arrived = 0;
    ++named.turn;
    ++w.epoch;
    for (unsigned i = 0; i < w.threads; ++i)
      if (w.thread[i].state == State::AtNamed && w.thread[i].parameter == id) w.release(i, 1, false);
  }
  w.wait();
  if (under_tsan()) __tsan_acquire(&named.token[turn]);
}

void proxy_fence(Where where) {
  Worker& w = hopper_block("proxy_fence", where);
  w.hopper->lane[w.current].fence = ++w.hopper->clock;
}

}  // namespace ito::dialect
