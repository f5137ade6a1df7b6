// SPDX-License-Identifier: Apache-2.0
// How ranks share the tree of a batch's sums: whatever their number, what they make and join is bit for bit the tree by
// recursion. Numbers are over six decades, so that every order has bits of its own.
#include "engine/ranks/subtrees.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/optim/gradient_norm.h"
#include "tests/engine/user_error.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

using Floats = std::vector<float>;
constexpr int kElements = 6, kMostLeaves = 70, kMostRanks = 16;

std::vector<Floats> random_leaves(int64_t count) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::uniform_real_distribution<float> mantissa(-1.0f, 1.0f), decade(-3.0f, 3.0f);
  std::vector<Floats> leaves(count, Floats(kElements));
  for (Floats& leaf : leaves)
    for (float& value : leaf) value = mantissa(random) * std::pow(10.0f, decade(random));
  return leaves;
}

Floats plus(Floats a, const Floats& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

Floats sum_of(const std::vector<Floats>& leaves, const IndexRange& subtree) {
  return ref::subtree_sum(leaves, subtree.first, std::bit_ceil(static_cast<size_t>(subtree.count)));
}

// What arrives is set; what it joins is consumed. Fails where something that waits is overwritten or missing.
void arrive(std::vector<Floats>& slots, const Floats& sum, const TreeArrival& arrival) {
  int slot = arrival.slot;
  ASSERT_LT(slot, static_cast<int>(slots.size()));
  ASSERT_TRUE(slots[slot].empty()) << "slot " << slot << " is taken";
  slots[slot] = sum;
  for (int joins = arrival.joins; joins > 0; --joins, --slot) {
    ASSERT_GT(slot, 0);
    ASSERT_FALSE(slots[slot - 1].empty()) << "nothing waits in slot " << slot - 1;
    slots[slot - 1] = plus(slots[slot - 1], slots[slot]);
    slots[slot].clear();
  }
}

// The pieces' sums as a rank makes them pass by pass.
std::vector<Floats> made_in_passes(const std::vector<Floats>& leaves, const std::vector<IndexRange>& pieces,
                                   const PassPlan& plan, int64_t most_leaves) {
  std::vector<Floats> buffers(plan.buffers), made;
  for (const RankPass& pass : plan.passes) {
    EXPECT_LE(pass.leaves.count, most_leaves);
    arrive(buffers, sum_of(leaves, pass.leaves), pass.arrival);
  }
  for (const int buffer : plan.buffer_of_piece) made.push_back(buffers.at(buffer));
  size_t taken = 0;
  for (const Floats& buffer : buffers) taken += !buffer.empty();
  EXPECT_EQ(taken, pieces.size());
  return made;
}

Floats joined(const std::vector<Floats>& sums, const JoinPlan& plan) {
  std::vector<Floats> slots(plan.slots);
  for (const TreeStep& step : plan.steps) arrive(slots, sums.at(step.piece), step.arrival);
  return slots.at(0);
}

// A node of the tree of `leaves`, largest of those with these leaves or not.
bool is_subtree(const IndexRange& run, int64_t leaves) {
  const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(run.count)));
  return run.count > 0 && run.first % size == 0 && (run.count == size || run.end() == leaves);
}

TEST(Subtrees, AnyNumberOfRanksGivesTheSameBits) {
  for (int64_t leaves = 1; leaves <= kMostLeaves; ++leaves) {
    const std::vector<Floats> values = random_leaves(leaves);
    const Floats root = ref::tree_sum(values);
    for (int ranks = 1; ranks <= kMostRanks && ranks <= leaves; ++ranks) {
      SCOPED_TRACE(testing::Message() << leaves << " leaves, " << ranks << " ranks");
      std::vector<Floats> sums;
      int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const IndexRange run = leaves_of_rank(leaves, ranks, rank);
        ASSERT_EQ(run.first, next);
        ASSERT_TRUE(run.count == leaves / ranks || run.count == leaves / ranks + 1);
        const std::vector<IndexRange> pieces = subtrees_of(run, leaves);
        ASSERT_LE(pieces.size(), std::max(1.0, 2 * std::log2(run.count)));
        for (size_t i = 0; i < pieces.size(); ++i) {
          ASSERT_EQ(pieces[i].first, next);
          ASSERT_TRUE(is_subtree(pieces[i], leaves));
          next = pieces[i].end();
          if (i > 0) {  // two neighbours that are a subtree would be one piece
            ASSERT_FALSE(is_subtree({pieces[i - 1].first, pieces[i - 1].count + pieces[i].count}, leaves));
          }
        }
        ASSERT_EQ(next, run.end());
        for (int64_t most = 1; most <= 8; most *= 2) {
          const std::vector<Floats> made = made_in_passes(values, pieces, plan_passes(pieces, most), most);
          for (size_t i = 0; i < pieces.size(); ++i) ASSERT_EQ(made[i], sum_of(values, pieces[i]));
        }
        for (const IndexRange& piece : pieces) sums.push_back(sum_of(values, piece));
      }
      ASSERT_EQ(next, leaves);
      const JoinPlan plan = plan_join(subtrees_of_ranks(leaves, ranks));
      ASSERT_LE(plan.slots, std::bit_width(sums.size()));
      ASSERT_EQ(joined(sums, plan), root);
    }
  }
}

TEST(Subtrees, OneRankIsTheBinaryCounter) {
  for (int64_t leaves = 1; leaves <= kMostLeaves; ++leaves) {
    for (int64_t most = 1; most <= 128; most *= 2) {
      const PassPlan plan = plan_passes(subtrees_of({0, leaves}, leaves), most);
      const int64_t passes = (leaves + most - 1) / most;
      ASSERT_EQ(static_cast<int64_t>(plan.passes.size()), passes);
      ASSERT_EQ(plan.buffers, tree_slots(passes));
      ASSERT_EQ(plan.buffer_of_piece, std::vector<int>{0});
      for (int64_t number = 0; number < passes; ++number) {
        const RankPass& pass = plan.passes[number];
        const TreeArrival arrival = tree_arrival(number, passes);
        ASSERT_EQ(pass.leaves, (IndexRange{number * most, std::min(most, leaves - number * most)}));
        ASSERT_EQ(pass.arrival.slot, arrival.slot);
        ASSERT_EQ(pass.arrival.joins, arrival.joins);
      }
    }
  }
}

// Against every order of the pieces.
TEST(Subtrees, PassesNeedTheFewestBuffers) {
  for (int64_t leaves = 2; leaves <= 40; ++leaves) {
    for (int ranks = 2; ranks <= 5 && ranks <= leaves; ++ranks) {
      for (int rank = 0; rank < ranks; ++rank) {
        const std::vector<IndexRange> pieces = subtrees_of(leaves_of_rank(leaves, ranks, rank), leaves);
        ASSERT_LE(pieces.size(), 6u);  // 720 orders
        std::vector<int> slots, order(pieces.size());
        for (const IndexRange& piece : pieces) slots.push_back(tree_slots(piece.count));
        std::iota(order.begin(), order.end(), 0);
        int fewest = 100;
        do {
          int needed = 0;
          for (int done = 0; done < static_cast<int>(order.size()); ++done)
            needed = std::max(needed, done + slots[order[done]]);
          fewest = std::min(fewest, needed);
        } while (std::next_permutation(order.begin(), order.end()));
        ASSERT_EQ(plan_passes(pieces, 1).buffers, fewest) << leaves << " leaves, rank " << rank << " of " << ranks;
      }
    }
  }
}

TEST(Subtrees, ThreeRanksOfEightLeaves) {
  EXPECT_EQ(subtrees_of_ranks(8, 3), (std::vector<IndexRange>{{0, 2}, {2, 1}, {3, 1}, {4, 2}, {6, 2}}));
  // The run's pieces of 1 and 2 leaves, in passes of one: the larger first, while nothing of the other is there.
  const PassPlan passes = plan_passes(subtrees_of({3, 3}, 8), 1);
  EXPECT_EQ(passes.passes.front().leaves, (IndexRange{4, 1}));
  EXPECT_EQ(passes.buffers, 2);
  EXPECT_EQ(passes.buffer_of_piece, (std::vector<int>{1, 0}));
}

// One thing after another in order would let log2 of the leaves wait, and not of the pieces.
TEST(Subtrees, TheLargerNeedGoesFirst) {
  const JoinPlan plan = plan_join({{0, 8}, {8, 4}, {12, 2}, {14, 1}, {15, 1}});
  EXPECT_EQ(plan.slots, 2);
  for (const TreeStep& step : plan.steps) EXPECT_LT(step.arrival.slot, 2) << "piece " << step.piece;
  EXPECT_EQ(plan_join({{0, 16}}).slots, 1);
}

TEST(Subtrees, Refusals) {
  EXPECT_EQ(user_error([] { leaves_of_rank(4, 5, 0); }),
            "batch: 5 ranks share it by chunks of images, and it has 4; start at most 4 ranks, or take a larger batch");
  EXPECT_EQ(
      user_error([] { plan_join(subtrees_of_ranks(200, 150)); }),
      "these ranks cut the batch's sums into 150 parts, expected at most 128; take a batch that the ranks divide, "
      "or fewer ranks");
  EXPECT_EQ(user_error([] { plan_join(subtrees_of_ranks(256, 128)); }), "");
  EXPECT_THROW(plan_passes({{0, 4}}, 3), Error);
  EXPECT_THROW(plan_join({}), Error);
  EXPECT_THROW(plan_join({{0, 3}, {3, 1}}), Error);
  EXPECT_THROW(plan_join({{0, 2}, {3, 1}}), Error);
}

TEST(Subtrees, SlicesAreWholeSpans) {
  for (const int64_t count : {int64_t{0}, int64_t{1}, kNormSpan, kNormSpan + 1, 10 * kNormSpan + 7, 64 * kNormSpan}) {
    for (int ranks = 1; ranks <= kMostRanks; ++ranks) {
      int64_t next = 0, fewest = INT64_MAX, most = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const IndexRange slice = slice_of_rank(count, ranks, rank);
        EXPECT_EQ(slice.first, next);
        EXPECT_TRUE(slice.first % kNormSpan == 0 || slice.count == 0);
        EXPECT_TRUE(slice.end() % kNormSpan == 0 || slice.end() == count);
        next = slice.end();
        const int64_t spans = (slice.count + kNormSpan - 1) / kNormSpan;
        fewest = std::min(fewest, spans), most = std::max(most, spans);
      }
      EXPECT_EQ(next, count);
      EXPECT_LE(most - fewest, 1);
    }
  }
}

}  // namespace
}  // namespace ito::test
