// SPDX-License-Identifier: Apache-2.0
// A slice's sum of all ranks' subtrees, in one pass over memory.
//   out = the steps' joins of pieces[0], pieces[1], .., (P, count)
// A thread of a GPU takes four neighbours at once, 16 bytes an access, of kAhead pieces before the first is needed; on
// a CPU a run of elements, which vectorises and stays in the first cache. Bytes an element: 4 P read, 4 written.
// How the order reaches the threads: addresses, slots and joins are launch arguments, the same for a whole grid, read
// from the constant bank by the step's number. What waits is in registers: which slot a step means is asked of every
// slot, by comparisons that all threads agree in, because registers have no addresses. What joins at once never goes to
// its slot, so that a sum with s slots keeps s - 1 values an element. The planner's order lets few wait: P pieces need
// log2(P) + 1 slots, where the order of leaves could need a slot a level. Up to 15 pieces have a kernel of 3 values.
// Refused: one pass a level of the tree, which reads and writes twice as much, and a copy of all pieces into one array
// first; a table of steps in device memory, which somebody would have to keep.
#include "kernels/optim/join_subtrees.h"

#include <algorithm>

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = 256;
constexpr int kOwn = WARP == 1 ? 256 : 4;  // elements a thread takes at once
constexpr int kAhead = WARP == 1 ? 1 : 8;  // pieces on their way at a time
constexpr int64_t kElementsPerBlock = 2048;
constexpr int kFewWaiting = 3;

struct JoinSteps {
  const float* piece[kTreePieces];
  uint8_t slot[kTreePieces], joins[kTreePieces];
  int count;
};

// What arrives takes up the waiting sums below its slot, the nearest first, and waits in the slot it comes to.
template <int kWaiting, int kWidth>
DEVICE void arrive(float (&waiting)[kWaiting][kWidth], Packed<float, kWidth>& sum, int slot, int joins) {
  for (int s = kWaiting - 1; s >= 0; --s) {
    if (s < slot && s >= slot - joins)
      for (int k = 0; k < kWidth; ++k) sum[k] += waiting[s][k];
  }
  for (int s = 0; s < kWaiting; ++s) {
    if (s == slot - joins)
      for (int k = 0; k < kWidth; ++k) waiting[s][k] = sum[k];
  }
}

template <int kWaiting, int kWidth>
DEVICE void join_at(float* out, const JoinSteps& steps, int64_t i) {
  float waiting[kWaiting][kWidth];
  if constexpr (kWidth <= 4)  // the steps say what was set; a compiler cannot see that, and warns
    for (int s = 0; s < kWaiting; ++s)
      for (int k = 0; k < kWidth; ++k) waiting[s][k] = 0.0f;
  for (int step = 0; step < steps.count; step += kAhead) {
    Packed<float, kWidth> in[kAhead];
    for (int u = 0; u < kAhead; ++u)
      if (step + u < steps.count) in[u] = Packed<float, kWidth>::load(steps.piece[step + u] + i);
    for (int u = 0; u < kAhead; ++u)
      if (step + u < steps.count) arrive(waiting, in[u], steps.slot[step + u], steps.joins[step + u]);
  }
  Packed<float, kWidth> sum;
  for (int k = 0; k < kWidth; ++k) sum[k] = waiting[0][k];
  sum.store(out + i);
}

template <int kWaiting>
KERNEL void join_subtrees_kernel(float* out, const JoinSteps steps, int64_t count) {
  const int64_t packs = count / kOwn, packed = packs * kOwn;
  GRID_LOOP(pack, packs) join_at<kWaiting, kOwn>(out, steps, pack * kOwn);
  GRID_LOOP(rest, count - packed) join_at<kWaiting, 1>(out, steps, packed + rest);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void join_subtrees(Stream& stream, float* out, std::span<const float* const> pieces, std::span<const TreeStep> steps,
                   int64_t count) {
  ITO_CHECK(count >= 0, "join_subtrees: count is ", count, ", expected 0 or more");
  ITO_CHECK(steps.size() == pieces.size() && !steps.empty() && steps.size() <= kTreePieces,
            "join_subtrees: ", steps.size(), " steps for ", pieces.size(), " pieces, expected as many, 1 to ",
            kTreePieces);
  const auto aligned = [](const float* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  ITO_CHECK(aligned(out), "join_subtrees: the sum does not begin at a multiple of 16 bytes");
  JoinSteps plan{};
  int waiting = 0, most = 0;  // sums that wait; the largest slot one waits in
  for (const TreeStep& step : steps) {
    const auto [slot, joins] = step.arrival;
    ITO_CHECK(step.piece >= 0 && step.piece < static_cast<int>(pieces.size()) && slot == waiting && joins >= 0 &&
                  joins <= slot && slot < kJoinSlots,
              "join_subtrees: step ", plan.count, " brings piece ", step.piece, " to slot ", slot, " with ", joins,
              " joins where ", waiting, " sums wait");
    ITO_CHECK(aligned(pieces[step.piece]), "join_subtrees: piece ", step.piece,
              " does not begin at a multiple of 16 bytes");
    plan.piece[plan.count] = pieces[step.piece];
    plan.slot[plan.count] = static_cast<uint8_t>(slot);
    plan.joins[plan.count++] = static_cast<uint8_t>(joins);
    waiting = slot - joins + 1;
    most = std::max(most, slot - joins);
  }
  ITO_CHECK(waiting == 1, "join_subtrees: ", waiting, " sums are left, expected one");
  const Dim3 grid(ceil_div(count, kElementsPerBlock));
  constexpr int NT = block_threads(kThreads);
  if (most < kFewWaiting)
    launch<join_subtrees_kernel<kFewWaiting>>("join_subtrees", grid, NT, 0, stream, out, plan, count);
  else
    launch<join_subtrees_kernel<kJoinSlots - 1>>("join_subtrees", grid, NT, 0, stream, out, plan, count);
}

}  // namespace ito
