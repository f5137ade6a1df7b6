// SPDX-License-Identifier: Apache-2.0
// Collectives: every participant leaves a pointer to its arguments; the last to arrive computes for all, in the
// order of the GPU's code. Also what is said when they cannot complete.
#include <bit>
#include <cmath>

#include "kernels/dialect/sim/hopper_state.h"

namespace ito::dialect {

bool same_place(Where a, Where b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

namespace {

template <class T>
T add(T a, T b) {
  return a + b;
}
float larger(float a, float b) {
  return fmaxf(a, b);
}
double larger(double a, double b) {
  return fmax(a, b);
}
int larger(int a, int b) {
  return a > b ? a : b;
}

// The butterfly over 32 lanes: distances 16, 8, 4, 2, 1. Every lane ends with the same bits, because each step adds
// the same pair of numbers in either order.
template <class T>
T butterfly(T (&v)[kLanes], bool sum) {
  for (unsigned half = kLanes / 2; half; half /= 2)
    for (unsigned l = 0; l < half; ++l) v[l] = sum ? add(v[l], v[l + half]) : larger(v[l], v[l + half]);
  return v[0];
}

template <class T>
void reduce_warp(Thread* lane, bool sum) {
  T v[kLanes];
  for (unsigned l = 0; l < kLanes; ++l) v[l] = *static_cast<T*>(lane[l].value);
  const T result = butterfly(v, sum);
  for (unsigned l = 0; l < kLanes; ++l) *static_cast<T*>(lane[l].value) = result;
}

// Warp results first, then a butterfly over them, absent warps being 0 or (for maxima) the first warp.
template <class T>
void reduce_block(Thread* thread, unsigned threads, bool sum) {
  T of_warp[kLanes];
  const unsigned warps = threads / kLanes;
  for (unsigned w = 0; w < warps; ++w) {
    T v[kLanes];
    for (unsigned l = 0; l < kLanes; ++l) v[l] = *static_cast<T*>(thread[w * kLanes + l].value);
    of_warp[w] = butterfly(v, sum);
  }
  for (unsigned w = warps; w < kLanes; ++w) of_warp[w] = sum ? T(0) : of_warp[0];
  const T result = butterfly(of_warp, sum);
  for (unsigned i = 0; i < threads; ++i) *static_cast<T*>(thread[i].value) = result;
}

template <class Bits>
void exchange(Thread* lane, bool down) {
  Bits v[kLanes];
  for (unsigned l = 0; l < kLanes; ++l) v[l] = *static_cast<Bits*>(lane[l].value);
  for (unsigned l = 0; l < kLanes; ++l) {
    const unsigned parameter = static_cast<unsigned>(lane[l].parameter);
    const unsigned from = down ? l + parameter : l ^ parameter;
    *static_cast<Bits*>(lane[l].value) = v[from < kLanes ? from : l];
  }
}

// Register i of lane l receives row l / 4, elements 2 (l % 4) and the next of matrix i; transposed: of its transpose.
void load_fragments(Thread* lane, bool transposed) {
  const auto element = [&](unsigned matrix, unsigned row, unsigned column) -> uint32_t {
    const auto* arguments = static_cast<LoadArguments*>(lane[8 * matrix + row].value);
    return reinterpret_cast<const uint16_t*>(arguments->row)[column];
  };
  for (unsigned l = 0; l < kLanes; ++l) {
    uint32_t* registers = static_cast<LoadArguments*>(lane[l].value)->registers;
    const unsigned row = l / 4, column = 2 * (l % 4);
    for (unsigned m = 0; m < 4; ++m)
      registers[m] = transposed ? element(m, column, row) | element(m, column + 1, row) << 16
                                : element(m, row, column) | element(m, row, column + 1) << 16;
  }
}

float bf16_of(uint32_t pair, unsigned upper) {
  return std::bit_cast<float>(upper ? pair & 0xFFFF0000u : pair << 16);
}

// Gathers A (16 x 16) and B (16 x 8) from the lanes' fragments, multiplies with fp32 sums in the order of k.
void multiply(Thread* lane) {
  const auto arguments = [&](unsigned l) { return static_cast<MultiplyArguments*>(lane[l].value); };
  const int mt = arguments(0)->mt, nt = arguments(0)->nt;
  for (int m = 0; m < mt; ++m) {
    float a[16][16];
    for (unsigned l = 0; l < kLanes; ++l)
      for (unsigned r = 0; r < 4; ++r)
        for (unsigned h = 0; h < 2; ++h)
          a[l / 4 + 8 * (r & 1)][2 * (l % 4) + 8 * (r >> 1) + h] = bf16_of(arguments(l)->a[4 * m + r], h);
    for (int n = 0; n < nt; ++n) {
      float b[16][8];
      for (unsigned l = 0; l < kLanes; ++l)
        for (unsigned r = 0; r < 2; ++r)
          for (unsigned h = 0; h < 2; ++h) b[2 * (l % 4) + 8 * r + h][l / 4] = bf16_of(arguments(l)->b[2 * n + r], h);
      for (unsigned l = 0; l < kLanes; ++l) {
        float* acc = arguments(l)->acc + 4 * (m * nt + n);
        for (unsigned r = 0; r < 4; ++r) {
          const unsigned row = l / 4 + 8 * (r >> 1), column = 2 * (l % 4) + (r & 1);
          float sum = acc[r];
          for (unsigned k = 0; k < 16; ++k) sum = fmaf(a[row][k], b[k][column], sum);
          acc[r] = sum;
        }
      }
    }
  }
}

}  // namespace

void Worker::park(State state, Op op, Number type, void* value, int parameter, Where where) {
  Thread& t = thread[current];
  t.state = state;
  t.op = op;
  t.type = type;
  t.value = value;
  t.parameter = parameter;
  t.where = where;
}

const char* word_of(Op op) {
  switch (op) {
    case Op::None:
      return "nothing";
    case Op::BlockSync:
      return "block_sync";
    case Op::BlockSum:
      return "block_sum";
    case Op::BlockMax:
      return "block_max";
    case Op::WarpSum:
      return "warp_sum";
    case Op::WarpMax:
      return "warp_max";
    case Op::ShflXor:
      return "shfl_xor";
    case Op::ShflDown:
      return "shfl_down";
    case Op::LdMatrix:
      return "ldmatrix_x4";
    case Op::LdMatrixTrans:
      return "ldmatrix_x4_trans";
    case Op::Mma:
      return "mma_tile";
    case Op::WgMma:
      return "wg_mma";
    case Op::WgCommit:
      return "wg_commit";
    case Op::WgWait:
      return "wg_wait";
    case Op::SetRegisters:
      return "regs_inc or regs_dec";
    case Op::NamedSync:
      return "named_sync";
    case Op::BarWait:
      return "bar_wait";
  }
  return "?";
}

std::string text_of(Where where) {
  return join_text(where.file_name(), ":", where.line());
}

std::string Worker::place(Where where, unsigned of_thread) const {
  return join_text(where.line() ? text_of(where) + ", " : std::string(), "block (", block_index.x, ", ", block_index.y,
                   ", ", block_index.z, "), thread ", of_thread);
}

Worker& worker_in_block(const char* word, Where where) {
  if (!current_worker) fail(word, " at ", text_of(where), " outside of a launch: only blocks cooperate");
  return *current_worker;
}

void block_collective(Op op, Number type, void* value, Where where) {
  Worker& w = worker_in_block(word_of(op), where);
  if (op != Op::BlockSync && w.threads % kLanes)
    w.abort_block(join_text("partial warp: ", word_of(op), " in a block of ", w.threads,
                            " threads, which is not a multiple of 32 (", w.place(where), ")"));
  w.park(State::AtBarrier, op, type, value, 0, where);
  w.wait_at_barrier();
}

void Worker::wait_at_barrier() {
  // A fast thread's next barrier must not be seen by one still leaving this.
  const unsigned parity = block_barriers & 1;
  if (under_tsan()) __tsan_release(&barrier_token[parity]);
  if (hopper->used) publish_fence(*this);
  if (++at_barrier == threads) {
    for (unsigned i = 1; i < threads; ++i)
      if (thread[i].op != thread[0].op || !same_place(thread[i].where, thread[0].where)) report_stuck();
    if (unwritten) abort_block(unwritten_text());
    complete_block();
    at_barrier = 0;
    ++epoch;
    ++block_barriers;
    release(0, threads, false);
  }
  wait();
  if (under_tsan()) __tsan_acquire(&barrier_token[parity]);
}

void Worker::complete_block() {
  const bool sum = thread[0].op == Op::BlockSum;
  if (thread[0].op == Op::BlockSync) return;
  switch (thread[0].type) {
    case Number::Float:
      return reduce_block<float>(thread.get(), threads, sum);
    case Number::Double:
      return reduce_block<double>(thread.get(), threads, sum);
    default:
      return reduce_block<int>(thread.get(), threads, sum);
  }
}

void warp_collective(Op op, Number type, void* value, int parameter, Where where) {
  Worker& w = worker_in_block(word_of(op), where);
  const unsigned first = w.current / kLanes * kLanes;
  if (w.threads - first < kLanes)
    w.abort_block(
        join_text("partial warp: ", word_of(op), " in a warp of ", w.threads - first, " lanes (", w.place(where), ")"));
  w.park(State::AtWarp, op, type, value, parameter, where);
  w.wait_at_warp();
}

void Worker::wait_at_warp() {
  const unsigned warp = current / kLanes, first = warp * kLanes;
  if (++at_warp[warp] == kLanes) {
    for (unsigned l = 1; l < kLanes; ++l)
      if (thread[first + l].op != thread[first].op || !same_place(thread[first + l].where, thread[first].where))
        report_split_warp(first);
    complete_warp(first);
    at_warp[warp] = 0;
    release(first, kLanes, true);
  }
  wait();
}

void Worker::complete_warp(unsigned first) {
  Thread* lane = &thread[first];
  switch (lane->op) {
    case Op::WarpSum:
    case Op::WarpMax: {
      const bool sum = lane->op == Op::WarpSum;
      if (lane->type == Number::Float) return reduce_warp<float>(lane, sum);
      if (lane->type == Number::Double) return reduce_warp<double>(lane, sum);
      return reduce_warp<int>(lane, sum);
    }
    case Op::ShflXor:
    case Op::ShflDown:
      if (lane->type == Number::Bits4) return exchange<uint32_t>(lane, lane->op == Op::ShflDown);
      return exchange<uint64_t>(lane, lane->op == Op::ShflDown);
    case Op::LdMatrix:
      return load_fragments(lane, false);
    case Op::LdMatrixTrans:
      return load_fragments(lane, true);
    default:
      return multiply(lane);
  }
}

void load_matrix(uint32_t* registers, const void* row, bool transposed, Where where) {
  const Op op = transposed ? Op::LdMatrixTrans : Op::LdMatrix;
  Worker& w = worker_in_block(word_of(op), where);
  if (reinterpret_cast<uintptr_t>(row) % 16) misaligned(word_of(op), row, 16, where);
  if (row < arena_first || row >= arena_last)
    w.abort_block(join_text(word_of(op), ": a row address outside of shared memory (", w.place(where), ")"));
  shared_read_bytes(row, 16, where);
  if (under_tsan()) __tsan_read_range(const_cast<void*>(row), 16);
  LoadArguments arguments{registers, static_cast<const char*>(row)};
  warp_collective(op, Number::Int, &arguments, 0, where);
}

void multiply_tile(float* acc, const uint32_t* a, const uint32_t* b, int mt, int nt, Where where) {
  MultiplyArguments arguments{acc, a, b, mt, nt};
  warp_collective(Op::Mma, Number::Int, &arguments, 0, where);
}

// "16 in block_sync at k.cu:12, 8 in shfl_xor at k.cu:20, 8 have exited"
std::string Worker::groups_of(unsigned first, unsigned count) const {
  std::string text;
  const auto append = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  unsigned gone = 0;
  for (unsigned i = first; i < first + count; ++i) {
    const Thread& t = thread[i];
    if (t.state == State::Exited) ++gone;
    if (t.state == State::Unstarted || t.state == State::Running || t.state == State::Exited) continue;
    const auto alike = [&](const Thread& u) {
      return u.state == t.state && u.op == t.op && same_place(u.where, t.where);
    };
    bool seen = false;
    for (unsigned j = first; j < i; ++j) seen = seen || alike(thread[j]);
    if (seen) continue;
    unsigned same = 0;
    for (unsigned j = i; j < first + count; ++j) same += alike(thread[j]);
    append(join_text(same, " in ", word_of(t.op), " at ", text_of(t.where)));
  }
  if (gone) append(join_text(gone, " have exited"));
  return text;
}

void Worker::report_split_warp(unsigned first) {
  abort_block(join_text("divergent shuffle: the 32 lanes of warp ", first / kLanes,
                        " wait in different calls: ", groups_of(first, kLanes), " (", place({}), ")"));
}

void Worker::report_stuck() {
  if (unwritten) abort_block(unwritten_text());
  const std::string block =
      join_text("block (", block_index.x, ", ", block_index.y, ", ", block_index.z, ") of ", threads, " threads");
  for (unsigned i = 0; i < threads; ++i)
    if (thread[i].op >= Op::WgMma && thread[i].state != State::Exited)
      abort_block(
          join_text("deadlock: nothing can run any more: ", groups_of(0, threads), bar_texts(*this), " (", block, ")"));
  for (unsigned w = 0; w * kLanes < threads; ++w)
    if (at_warp[w])
      abort_block(join_text("incomplete shuffle: ", at_warp[w], " of 32 lanes of warp ", w,
                            " came; its lanes wait: ", groups_of(w * kLanes, kLanes), " (", block, ")"));
  if (exited)
    abort_block(join_text("exited thread: a barrier needs every thread: ", groups_of(0, threads), " (", block, ")"));
  // Threads of one warp apart: a barrier under a condition. Whole warps apart: two barriers where one was meant.
  bool split = false;
  for (unsigned i = 0; i < threads; ++i) {
    const Thread& first = thread[i / kLanes * kLanes];
    split = split || thread[i].op != first.op || !same_place(thread[i].where, first.where);
  }
  abort_block(join_text(split ? "divergent barrier: lanes of one warp wait at different barriers: "
                              : "wrong barrier site: warps wait at different barriers: ",
                        groups_of(0, threads), " (", block, ")"));
}

}  // namespace ito::dialect
