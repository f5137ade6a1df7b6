// SPDX-License-Identifier: Apache-2.0
// The arena's plan against brute force: at every time, no two live blocks share a byte.
#include "engine/program/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/error.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

constexpr int kTimes = 24;
constexpr size_t kAlign = 256;

class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed) {}
  uint32_t below(uint32_t n) { return uniform_below(philox4x32(seed_, next_++, 0, 0, 0).v[0], n); }

 private:
  uint64_t seed_;
  uint32_t next_ = 0;
};

MemoryPlan random_plan(uint64_t seed) {
  Draw draw(seed);
  MemoryPlan plan;
  const int blocks = 1 + static_cast<int>(draw.below(40));
  for (int i = 0; i < blocks; ++i) {
    const int first = static_cast<int>(draw.below(kTimes));
    const int last = first + static_cast<int>(draw.below(static_cast<uint32_t>(kTimes - first)));
    const size_t bytes = 1 + draw.below(draw.below(2) ? 5000 : 300);
    plan.add({join_text("b", i), i % 2 ? BlockKind::Gradient : BlockKind::Activation, bytes, first, last});
  }
  plan.solve();
  return plan;
}

size_t rounded(size_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

TEST(MemoryPlan, LiveBlocksNeverShareAByte) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const MemoryPlan plan = random_plan(seed);
    size_t most_alive = 0, end = 0;
    for (int time = 0; time < kTimes; ++time) {
      std::vector<const MemoryBlock*> alive;
      for (const MemoryBlock& b : plan.blocks())
        if (b.first <= time && time <= b.last) alive.push_back(&b);
      std::sort(alive.begin(), alive.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
      size_t sum = 0;
      for (size_t i = 0; i < alive.size(); ++i) {
        sum += rounded(alive[i]->bytes);
        EXPECT_EQ(alive[i]->offset % kAlign, 0u);
        if (i > 0) {
          ASSERT_GE(alive[i]->offset, alive[i - 1]->offset + alive[i - 1]->bytes)
              << "seed " << seed << ": " << alive[i - 1]->name << " and " << alive[i]->name << " at time " << time;
        }
      }
      most_alive = std::max(most_alive, sum);
    }
    for (const MemoryBlock& b : plan.blocks()) end = std::max(end, b.offset + rounded(b.bytes));
    EXPECT_EQ(plan.bytes(), end) << "the arena ends where its last block ends";
    EXPECT_EQ(plan.lower_bound(), most_alive);
    EXPECT_GE(plan.bytes(), plan.lower_bound());
  }
}

// What the plan is for: random lifetimes fit in little more than the lower bound, far less than side by side.
TEST(MemoryPlan, SharesMemory) {
  size_t bytes = 0, bound = 0, side_by_side = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const MemoryPlan plan = random_plan(seed);
    bytes += plan.bytes();
    bound += plan.lower_bound();
    side_by_side += plan.bytes_of(BlockKind::Gradient) + plan.bytes_of(BlockKind::Activation);
  }
  EXPECT_LT(static_cast<double>(bytes), 1.15 * static_cast<double>(bound));
  EXPECT_LT(static_cast<double>(bytes), 0.75 * static_cast<double>(side_by_side));
}

TEST(MemoryPlan, IsAFunctionOfItsBlocks) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const MemoryPlan a = random_plan(seed), b = random_plan(seed);
    ASSERT_EQ(a.bytes(), b.bytes());
    for (size_t i = 0; i < a.blocks().size(); ++i) EXPECT_EQ(a.blocks()[i].offset, b.blocks()[i].offset);
  }
}

TEST(MemoryPlan, ReusesAChainAndKeepsNeighboursApart) {
  // A chain where each block dies as the next but one is born: two slots are enough, one is not.
  MemoryPlan plan;
  for (int i = 0; i < 6; ++i) plan.add({join_text("link ", i), BlockKind::Activation, 1000, i, i + 1});
  plan.solve();
  EXPECT_EQ(plan.bytes(), 2048u);
  EXPECT_EQ(plan.lower_bound(), 2048u);
  EXPECT_EQ(plan.bytes_of(BlockKind::Activation), 6 * 1024u);
  EXPECT_EQ(plan.bytes_of(BlockKind::Gradient), 0u);
  for (int i = 0; i + 1 < 6; ++i) EXPECT_NE(plan.block(i).offset, plan.block(i + 1).offset);
}

TEST(MemoryPlan, TakesTheLowestHoleThatFits) {
  MemoryPlan plan;
  const int low = plan.add({"low", BlockKind::Activation, 1024, 0, 1});
  const int high = plan.add({"high", BlockKind::Activation, 768, 0, 5});
  const int hole = plan.add({"hole", BlockKind::Activation, 512, 2, 3});
  plan.solve();
  EXPECT_EQ(plan.block(low).offset, 0u);
  EXPECT_EQ(plan.block(high).offset, 1024u);
  EXPECT_EQ(plan.block(hole).offset, 0u);
  EXPECT_EQ(plan.bytes(), 1792u);
}

TEST(MemoryPlan, OfNothingIsNothing) {
  MemoryPlan plan;
  plan.solve();
  EXPECT_EQ(plan.bytes(), 0u);
  EXPECT_EQ(plan.lower_bound(), 0u);
}

}  // namespace
}  // namespace ito
