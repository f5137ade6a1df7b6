// SPDX-License-Identifier: Apache-2.0
// The owner's kernel against the tree by recursion, bit for bit: every rank count from the same leaves, as the plan of
// engine/ranks/subtrees.h says; and what it does with orders that no plan would give it.
#include "kernels/optim/join_subtrees.h"

#include <bit>

#include "engine/ranks/subtrees.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

using Floats = std::vector<float>;

// Over six decades, so that every order of a sum has bits of its own.
std::vector<Floats> wide_leaves(int64_t leaves, int64_t count) {
  const Values values = random_values(leaves * count, 1), decade = random_values(leaves * count, 2);
  std::vector<Floats> wide(leaves, Floats(count));
  for (int64_t i = 0; i < leaves * count; ++i)
    wide[i / count][i % count] = static_cast<float>(values[i] * std::pow(10.0, 1.5 * decade[i]));
  return wide;
}

// The pieces of all ranks one after another, as they are received, each from a multiple of 16 bytes on.
struct Received {
  std::vector<IndexRange> pieces;
  JoinPlan plan;
  int64_t count, stride;
  DeviceArray<float> workspace;

  Received(Stream& stream, const std::vector<Floats>& leaves, int ranks)
      : pieces(subtrees_of_ranks(static_cast<int64_t>(leaves.size()), ranks)),
        plan(plan_join(pieces)),
        count(static_cast<int64_t>(leaves[0].size())),
        stride(ceil_div(count, 4) * 4),
        workspace(stream, pieces.size() * stride) {
    std::vector<float> all(workspace.size(), NAN);
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Floats sum = ref::subtree_sum(leaves, pieces[p].first, std::bit_ceil(size_t(pieces[p].count)));
      std::copy(sum.begin(), sum.end(), all.begin() + p * stride);
    }
    workspace.upload_raw(all);
  }
  std::vector<const float*> addresses() const {
    std::vector<const float*> at;
    for (size_t p = 0; p < pieces.size(); ++p) at.push_back(workspace + p * stride);
    return at;
  }
};

TEST(JoinSubtrees, AnyNumberOfRanksGivesTheSameBits) {
  Stream stream;
  for (const int64_t count : {3, 4, 1030}) {
    for (const int64_t leaves : {1, 5, 16, 21, 70}) {
      const std::vector<Floats> wide = wide_leaves(leaves, count);
      Floats want = ref::tree_sum(wide);
      for (const int ranks : {1, 2, 3, 5, 8, 16, 64}) {
        if (ranks > leaves) continue;
        const Received received(stream, wide, ranks);
        DeviceArray<float> out(stream, count + 1);  // one more, which nobody may touch
        join_subtrees(stream, out, received.addresses(), received.plan.steps, count);
        Floats got = out.raw();
        EXPECT_TRUE(std::isnan(got.back()));
        got.pop_back();
        EXPECT_EQ(got, want) << leaves << " leaves, " << ranks << " ranks, " << count << " elements";
      }
    }
  }
}

// The most pieces and slots, and a sum into the owner's own piece.
TEST(JoinSubtrees, TheMostPiecesInPlace) {
  Stream stream;
  const std::vector<Floats> wide = wide_leaves(kTreePieces, 260);
  const Received received(stream, wide, kTreePieces);
  ASSERT_EQ(received.plan.slots, kJoinSlots);
  float* own = received.workspace + 77 * received.stride;
  join_subtrees(stream, own, received.addresses(), received.plan.steps, received.count);
  const Floats all = received.workspace.raw();
  EXPECT_EQ(Floats(all.begin() + 77 * 260, all.begin() + 78 * 260), ref::tree_sum(wide));
  for (const int other : {76, 78})
    EXPECT_EQ(Floats(all.begin() + other * 260, all.begin() + (other + 1) * 260), wide[other]);
}

TEST(JoinSubtrees, RefusesWhatIsNoSum) {
  Stream stream;
  DeviceArray<float> data(stream, 64);
  const std::vector<const float*> two = {data + 16, data + 32};
  const auto join = [&](const std::vector<const float*>& pieces, const std::vector<TreeStep>& steps) {
    join_subtrees(stream, data, pieces, steps, 8);
  };
  const std::vector<TreeStep> good = {{0, {0, 0}}, {1, {1, 1}}};
  EXPECT_NO_THROW(join(two, good));
  EXPECT_THROW(join(two, {{0, {0, 0}}}), Error);               // a piece is left out
  EXPECT_THROW(join(two, {{0, {0, 0}}, {1, {1, 0}}}), Error);  // two sums are left
  EXPECT_THROW(join(two, {{0, {0, 0}}, {1, {0, 0}}}), Error);  // one is overwritten
  EXPECT_THROW(join(two, {{0, {0, 1}}, {1, {1, 1}}}), Error);  // nothing waits
  EXPECT_THROW(join(two, {{0, {0, 0}}, {2, {1, 1}}}), Error);  // no such piece
  EXPECT_THROW(join({data + 16, data + 33}, good), Error);     // not aligned
  EXPECT_THROW(join_subtrees(stream, data + 1, two, good, 8), Error);
  EXPECT_THROW(join_subtrees(stream, data, two, good, -1), Error);
}

}  // namespace
}  // namespace ito::test
