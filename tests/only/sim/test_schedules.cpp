// SPDX-License-Identifier: Apache-2.0
// That the executor's schedules are the orders they say, and that it refuses what a GPU would.
#include "dialect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/seams/device.h"

namespace ito {
namespace {

struct Schedules : testing::Test {
  void TearDown() override { sim_set_schedule(SimSchedule::Forward); }
  Stream stream;
};

KERNEL void arrival(int* clock, int* before, int* after) {
  before[threadIdx.x] = atomic_add(clock, 1);
  block_sync();
  after[threadIdx.x] = atomic_add(clock, 1);
}

TEST_F(Schedules, SchedulesAreOrdersOfTheThreads) {
  constexpr int n = 96;
  const auto order = [&](SimSchedule kind, uint64_t seed) {
    sim_set_schedule(kind, seed);
    int clock = 0;
    std::vector<int> both(2 * n);
    launch<arrival>("arrival", 1, n, 0, stream, &clock, both.data(), both.data() + n);
    std::vector<int> sorted = both;
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < 2 * n; ++i) EXPECT_EQ(sorted[i], i);
    for (int i = 0; i < n; ++i) EXPECT_LT(both[i], n) << "the barrier let a thread pass";
    return both;
  };
  const std::vector<int> forward = order(SimSchedule::Forward, 0), reverse = order(SimSchedule::Reverse, 0);
  for (int i = 0; i < n; ++i) {
    EXPECT_EQ(forward[i], i);
    EXPECT_EQ(forward[n + i], n + i);
    EXPECT_EQ(reverse[i], n - 1 - i);
    EXPECT_EQ(reverse[n + i], 2 * n - 1 - i);
  }
  EXPECT_EQ(order(SimSchedule::Seeded, 5), order(SimSchedule::Seeded, 5));
  EXPECT_NE(order(SimSchedule::Seeded, 5), order(SimSchedule::Seeded, 6));
}

KERNEL void too_much_shared(float* y) {
  SHARED(float, a, 8 * 1024);
  SHARED(float, b, 5 * 1024);
  a[0] = b[0] = 1.0f;
  y[0] = a[0];
}

TEST_F(Schedules, LaunchesAGpuWouldRefuse) {
  float y = 0.0f;
  int i = 0;
  EXPECT_THROW(launch<too_much_shared>("shared", 1, 1, 0, stream, &y), Error);          // 52 KB static
  EXPECT_THROW((launch<arrival>("threads", 1, 2048, 0, stream, &i, &i, &i)), Error);    // a block of 2048
  EXPECT_THROW((launch<arrival>("bytes", 1, 32, 1 << 20, stream, &i, &i, &i)), Error);  // 1 MB dynamic
  EXPECT_THROW((launch<arrival>("grid", Dim3(1, 70000), 32, 0, stream, &i, &i, &i)), Error);
}

}  // namespace
}  // namespace ito
