// SPDX-License-Identifier: Apache-2.0
// The owner's sum, written over one of its pieces, under hostile orders of blocks, warps and lanes: the same bits.
#include <gtest/gtest.h>

#include "engine/ranks/subtrees.h"
#include "kernels/dialect/sim/executor.h"
#include "kernels/optim/join_subtrees.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr int64_t kCount = 2 * 2048 + 1026;  // three blocks, and elements that four do not divide

std::string bits_of(int ranks, SimSchedule kind, uint64_t seed) {
  sim_set_schedule(kind, seed);
  Stream stream;
  const JoinPlan plan = plan_join(subtrees_of_ranks(40, ranks));
  const int64_t stride = kCount + 2;
  const DeviceArray<float> workspace(stream, random_values(plan.steps.size() * stride, 1));
  std::vector<const float*> pieces;
  for (size_t p = 0; p < plan.steps.size(); ++p) pieces.push_back(workspace + p * stride);
  join_subtrees(stream, workspace + stride, pieces, plan.steps, kCount);
  return workspace.bits();
}

TEST(JoinSubtreesSchedules, TheSameBitsInEveryOrder) {
  for (const int ranks : {3, 16}) {
    const std::string want = bits_of(ranks, SimSchedule::Forward, 0);
    EXPECT_TRUE(bits_of(ranks, SimSchedule::Reverse, 0) == want);
    EXPECT_TRUE(bits_of(ranks, SimSchedule::Seeded, 7) == want);
  }
  sim_set_schedule(SimSchedule::Forward);
}

}  // namespace
}  // namespace ito::test
