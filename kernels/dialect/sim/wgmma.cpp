// SPDX-License-Identifier: Apache-2.0
// Products of a warpgroup. Operands are found by walking bytes as the descriptor says; the result is held back, and the
// accumulators are NaN, until wg_wait.
#include <bit>
#include <cmath>

#include "kernels/dialect/sim/hopper_state.h"

namespace ito::dialect {
namespace {

Worker& warpgroup_block(Op op, Where where) {
  Worker& w = worker_in_block(word_of(op), where);
  if (!w.hopper->used) w.hopper->open();
  if (w.threads % kGroupLanes)
    w.abort_block(join_text("partial warpgroup: ", word_of(op), " in a block of ", w.threads,
                            " threads, which is not a multiple of 128 (", w.place(where), ")"));
  return w;
}

uint64_t print_of(const void* registers, int count) {
  uint64_t print = 0x9E3779B97F4A7C15u + static_cast<uint64_t>(count);
  for (int i = 0; i < count; ++i) {
    uint32_t word;
    __builtin_memcpy(&word, static_cast<const char*>(registers) + 4 * i, 4);
    print = (print ^ word) * 0x100000001B3u;
  }
  return print;
}

// The fence that covers these registers is used up: what comes after the product needs another.
void check_fenced(Worker& w, unsigned thread, const void* registers, int count, const char* what, Where where) {
  LaneState& l = w.hopper->lane[thread];
  for (Fenced& f : l.fenced) {
    if (f.at != registers) continue;
    if (f.print != print_of(registers, count))
      w.abort_block(
          join_text("missing wg_fence: ", what, " were written after the last one (", w.place(where, thread), ")"));
    return;
  }
  w.abort_block(join_text("missing wg_fence: none covers ", what, " since they were last touched (",
                          w.place(where, thread), ")"));
}

void forget_fence(Worker& w, unsigned thread, const void* registers) {
  for (Fenced& f : w.hopper->lane[thread].fenced)
    if (f.at == registers) f.at = nullptr;
}

struct Descriptor {
  uint64_t start, leading, stride, row;
  bool mn;
};

Descriptor decode(Worker& w, uint64_t bits, bool mn, char operand, Where where) {
  const uint64_t mode = bits >> 62;
  Descriptor d{(bits & 0x3FFF) << 4, (bits >> 16 & 0x3FFF) << 4, (bits >> 32 & 0x3FFF) << 4, 0, mn};
  d.row = mode == 1 ? 128 : mode == 2 ? 64 : 32;
  if (!mode || (bits >> 49 & 7) || (mn && mode != 1))
    w.abort_block(join_text("descriptor of ", operand, ": mode ", mode, " with base offset ", bits >> 49 & 7,
                            mn ? " of an operand with contiguous rows" : "", " is not emulated (", w.place(where),
                            ")"));
  return d;
}

// The byte of an element, counted from the start of shared memory.
uint64_t byte_of(const Descriptor& d, unsigned mn, unsigned k) {
  const uint64_t at = d.mn ? d.start + mn / 64 * d.leading + k / 8 * d.stride + k % 8 * 128 + 2 * (mn % 64)
                           : d.start + mn / 8 * d.stride + mn % 8 * d.row + 2 * k;
  return at ^ (at >> 3 & (d.row / 16 - 1) << 4);
}

float bf16_at(const char* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Reads `rows` x 16 elements to out[k][row] and locks what was read until the group is waited for.
void read_operand(Worker& w, unsigned group, const Descriptor& d, unsigned rows, float (*out)[256], char operand,
                  Where where) {
  const char word[] = {'w', 'g', '_', 'm', 'm', 'a', ' ', '(', operand, ')', 0};
  uint64_t first = ~uint64_t{0}, last = 0;
  const auto extend = [&](uint64_t at, unsigned bytes) {
    if (at + bytes > static_cast<uint64_t>(arena_last - arena_first) || !w.find(arena_first + at))
      w.abort_block(join_text("shared overrun: ", word, " reads byte ", at, " of shared memory, where nothing is (",
                              w.place(where), ")"));
    check_asynchronous_read(w, arena_first + at, bytes, word, false, where);
    first = at < first ? at : first;
    last = at + bytes > last ? at + bytes : last;
  };
  for (unsigned i = 0; i < rows; i += d.mn ? 8 : 1)
    for (unsigned k = 0; k < 16; k += d.mn ? 1 : 8) extend(byte_of(d, i, k) & ~uint64_t{15}, 16);
  for (unsigned k = 0; k < 16; ++k)
    for (unsigned i = 0; i < rows; ++i) out[k][i] = bf16_at(arena_first + byte_of(d, i, k));
  Warpgroup& wg = w.hopper->groups[group];
  const char *from = arena_first + first, *to = arena_first + last;
  for (unsigned l = 0; l < wg.lock_count; ++l) {
    Lock& lock = wg.locks[l];
    if (lock.group != wg.committed || to < lock.first || lock.last < from) continue;
    lock.first = from < lock.first ? from : lock.first;
    lock.last = to > lock.last ? to : lock.last;
    return;
  }
  if (wg.lock_count == kMaxLocks)
    w.abort_block(join_text("more than ", kMaxLocks, " operands in use (", w.place(where), ")"));
  wg.locks[wg.lock_count++] = {from, to, wg.committed, where};
}

// Row and column of a lane's accumulator j.
unsigned row_of(unsigned lane, unsigned j) {
  return 16 * (lane / 32) + lane % 32 / 4 + 8 * (j >> 1 & 1);
}
unsigned column_of(unsigned lane, unsigned j) {
  return 8 * (j >> 2) + 2 * (lane % 4) + (j & 1);
}

// While a product is in flight its accumulators hold the NaN that it left there.
void check_untouched(Worker& w, const Accumulator& a, unsigned group, Where where) {
  for (unsigned l = 0; l < kGroupLanes; ++l)
    for (int j = 0; j < a.n / 2; ++j)
      if (std::bit_cast<uint32_t>(a.lane[l][j]) != ~0u)
        w.abort_block(join_text("missing wg_wait: accumulators were written while the product in line ", a.where.line(),
                                " was in flight (", w.place(where, group * kGroupLanes + l), ")"));
}

Accumulator& accumulator(Worker& w, unsigned group, const Thread* lane, int n, Where where) {
  Warpgroup& wg = w.hopper->groups[group];
  const auto acc_of = [&](unsigned l) { return static_cast<WgMmaArguments*>(lane[l].value)->acc; };
  Accumulator* spare = nullptr;
  for (Accumulator& a : wg.acc) {
    if (!a.used) spare = &a;
    if (!a.used || a.lane[0] != acc_of(0)) continue;
    const unsigned first = group * kGroupLanes;
    for (unsigned l = 0; l < kGroupLanes; ++l) {
      for (int j = 0; j < n / 2; ++j)
        if (std::bit_cast<uint32_t>(a.lane[l][j]) != ~0u)
          w.abort_block(join_text("missing wg_wait: accumulators are written while the product in line ",
                                  a.where.line(), " is in flight (", w.place(where, first + l), ")"));
      forget_fence(w, first + l, a.lane[l]);
    }
    if (a.n != n)
      w.abort_block(join_text("wg_mma of width ", n, " on accumulators of a product of width ", a.n, " in flight (",
                              w.place(where), ")"));
    return a;
  }
  if (!spare)
    w.abort_block(join_text("more than ", kMaxAccumulators, " accumulators in flight (", w.place(where), ")"));
  Accumulator& a = *spare;
  a.used = true;
  a.n = n;
  for (unsigned l = 0; l < kGroupLanes; ++l) {
    a.lane[l] = acc_of(l);
    check_fenced(w, group * kGroupLanes + l, a.lane[l], n / 2, "the accumulators", where);
    forget_fence(w, group * kGroupLanes + l, a.lane[l]);
    for (unsigned j = 0; j < static_cast<unsigned>(n) / 2; ++j) {
      a.value[row_of(l, j) * static_cast<unsigned>(n) + column_of(l, j)] = a.lane[l][j];
      a.lane[l][j] = std::bit_cast<float>(~0u);
    }
  }
  return a;
}

void multiply(Worker& w, unsigned group) {
  const Thread* lane = &w.thread[group * kGroupLanes];
  const auto arguments = [&](unsigned l) { return static_cast<const WgMmaArguments*>(lane[l].value); };
  const WgMmaArguments& first = *arguments(0);
  const Where where = lane[0].where;
  for (unsigned l = 1; l < kGroupLanes; ++l)
    if (arguments(l)->a != first.a || arguments(l)->b != first.b)
      w.abort_block(join_text("divergent descriptors: lanes of warpgroup ", group, " multiply different tiles (",
                              w.place(where, group * kGroupLanes + l), ")"));
  float a[16][256], b[16][256];
  if (first.registers) {
    for (unsigned l = 0; l < kGroupLanes; ++l) {
      const uint32_t* r = arguments(l)->registers;
      check_fenced(w, group * kGroupLanes + l, r, 4, "A's registers", where);
      for (unsigned i = 0; i < 4; ++i)
        for (unsigned h = 0; h < 2; ++h)
          a[2 * (l % 4) + 8 * (i >> 1) + h][16 * (l / 32) + l % 32 / 4 + 8 * (i & 1)] =
              std::bit_cast<float>(h ? r[i] & 0xFFFF0000u : r[i] << 16);
    }
  } else {
    read_operand(w, group, decode(w, first.a, first.a_mn, 'A', where), 64, a, 'A', where);
  }
  const auto n = static_cast<unsigned>(first.n);
  read_operand(w, group, decode(w, first.b, first.b_mn, 'B', where), n, b, 'B', where);
  Accumulator& acc = accumulator(w, group, lane, first.n, where);
  acc.group = w.hopper->groups[group].committed;
  acc.where = where;
  for (unsigned row = 0; row < 64; ++row) {
    float* sums = &acc.value[row * n];
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned column = 0; column < n; ++column) sums[column] = fmaf(a[k][row], b[k][column], sums[column]);
  }
}

// Groups before `done` are over: their results appear and their operands are free.
void finish_groups(Worker& w, unsigned group, uint32_t done) {
  Warpgroup& wg = w.hopper->groups[group];
  for (Accumulator& a : wg.acc) {
    if (!a.used || a.group >= done) continue;
    check_untouched(w, a, group, w.thread[group * kGroupLanes].where);
    const auto n = static_cast<unsigned>(a.n);
    for (unsigned l = 0; l < kGroupLanes; ++l)
      for (unsigned j = 0; j < n / 2; ++j) a.lane[l][j] = a.value[row_of(l, j) * n + column_of(l, j)];
    a.used = false;
  }
  unsigned kept = 0;
  for (unsigned l = 0; l < wg.lock_count; ++l)
    if (wg.locks[l].group >= done) wg.locks[kept++] = wg.locks[l];
  wg.lock_count = kept;
}

void split_registers(Worker& w, unsigned group) {
  const Thread* lane = &w.thread[group * kGroupLanes];
  Warpgroup& wg = w.hopper->groups[group];
  for (unsigned l = 1; l < kGroupLanes; ++l)
    if (lane[l].parameter != lane[0].parameter)
      w.abort_block(join_text("register budget: lanes of warpgroup ", group, " ask for different numbers (",
                              w.place(lane[l].where, group * kGroupLanes + l), ")"));
  wg.registers = static_cast<unsigned>(lane[0].parameter);
  wg.registers_where = lane[0].where;
}

void complete(Worker& w, unsigned group) {
  const Thread& lane = w.thread[group * kGroupLanes];
  Warpgroup& wg = w.hopper->groups[group];
  const auto pending = static_cast<uint32_t>(lane.parameter);
  switch (lane.op) {
    case Op::WgMma:
      return multiply(w, group);
    case Op::WgCommit:
      ++wg.committed;
      return;
    case Op::WgWait:
      return finish_groups(w, group, wg.committed > pending ? wg.committed - pending : 0);
    default:
      return split_registers(w, group);
  }
}

void over_warpgroup(Op op, void* value, int parameter, Where where) {
  Worker& w = warpgroup_block(op, where);
  maybe_land(w);
  const unsigned group = w.current / kGroupLanes, first = group * kGroupLanes;
  // Products are under way for as long as can be: whoever else may run does so before they are waited for. Not in
  // reverse, where they are done at once.
  const bool last = w.hopper->groups[group].waiting + 1 == kGroupLanes;
  if (op == Op::WgWait && last && schedule_kind() != SimSchedule::Reverse) w.yield();
  w.park(State::AtWarpgroup, op, Number::Int, value, parameter, where);
  if (++w.hopper->groups[group].waiting == kGroupLanes) {
    for (unsigned l = 1; l < kGroupLanes; ++l)
      if (w.thread[first + l].op != w.thread[first].op || !same_place(w.thread[first + l].where, w.thread[first].where))
        w.abort_block(join_text("divergent warpgroup: the 128 lanes of warpgroup ", group,
                                " wait in different calls: ", w.groups_of(first, kGroupLanes), " (", w.place({}), ")"));
    complete(w, group);
    w.hopper->groups[group].waiting = 0;
    // Seeded: other roles may run between a product and its wait.
    w.release(first, kGroupLanes, schedule_kind() != SimSchedule::Seeded || (w.random() & 1) != 0);
  }
  w.wait();
}

}  // namespace

void wg_mma(const WgMmaArguments& arguments, Where where) {
  WgMmaArguments own = arguments;
  over_warpgroup(Op::WgMma, &own, 0, where);
}

void wg_commit(Where where) {
  over_warpgroup(Op::WgCommit, nullptr, 0, where);
}

void wg_wait(int pending_groups, Where where) {
  over_warpgroup(Op::WgWait, nullptr, pending_groups, where);
}

void set_registers(int count, bool more, Where where) {
  Worker& w = warpgroup_block(Op::SetRegisters, where);
  const unsigned now = w.hopper->groups[w.current / kGroupLanes].registers;
  if (now && (more ? static_cast<unsigned>(count) < now : static_cast<unsigned>(count) > now))
    w.abort_block(join_text("register budget: ", more ? "regs_inc" : "regs_dec", " from ", now, " to ", count, " (",
                            w.place(where), ")"));
  over_warpgroup(Op::SetRegisters, nullptr, count, where);
}

void wg_fence(const void* registers, int count, Where where) {
  Worker& w = warpgroup_block(Op::WgMma, where);
  LaneState& l = w.hopper->lane[w.current];
  Fenced* slot = nullptr;
  for (Fenced& f : l.fenced)
    if (f.at == registers) slot = &f;
  if (!slot) slot = &l.fenced[l.next_fenced++ % kMaxFenced];
  *slot = {registers, print_of(registers, count)};
}

}  // namespace ito::dialect
