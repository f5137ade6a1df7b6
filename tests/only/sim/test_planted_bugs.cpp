// SPDX-License-Identifier: Apache-2.0
// The executor's own test: every planted bug must be reported with the launch's name, its kind and its line, under
// every schedule, and the executor must be sound afterwards. Bugs that only a sanitizer sees run in a child process.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/dialect/sim/executor.h"
#include "tests/only/sim/planted.cu"  // the kernels, in this program alone

namespace ito {
namespace {

using planted::Bug;
using planted::Memory;
using planted::SeenBy;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddress = true;
#else
constexpr bool kAddress = false;
#endif
#if defined(__SANITIZE_THREAD__)
constexpr bool kThread = true;
#else
constexpr bool kThread = false;
#endif

struct Planted : testing::TestWithParam<Bug> {
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    memory.floats = planted::kFloats;
    for (float** p : {&memory.x, &memory.y})
      *p = static_cast<float*>(device_allocate(sizeof(float) * planted::kFloats, "planted floats"));
    memory.counts = static_cast<int*>(device_allocate(sizeof(int) * planted::kFloats, "planted counts"));
    std::vector<float> x(planted::kFloats);
    std::iota(x.begin(), x.end(), 0.0f);
    copy_to_device(stream, memory.x, x.data(), x.size() * sizeof(float));
    fill_bytes(stream, memory.y, 0, planted::kFloats * sizeof(float));
    fill_bytes(stream, memory.counts, 0, planted::kFloats * sizeof(int));
  }
  void TearDown() override {
    sim_set_schedule(SimSchedule::Forward);
    for (void* p : {static_cast<void*>(memory.x), static_cast<void*>(memory.y), static_cast<void*>(memory.counts)})
      device_free(p);
  }

  void check_sound() {
    planted::run_right_ones(stream, memory);
    // right_copies of x[i] = i: element 4j twice (SHARED and dynamic), then element 256 + 4j and zeros.
    std::vector<float> y(planted::kFloats);
    copy_to_host(stream, y.data(), memory.y, y.size() * sizeof(float));
    for (int block = 0; block < 5; ++block)
      for (int i = 0; i < 64; ++i)
        ASSERT_EQ(y[block * 64 + i], static_cast<float>(3 * 4 * (63 - i) + 256)) << "block " << block;
  }

  Stream stream;
  Memory memory{};
};

constexpr std::pair<SimSchedule, uint64_t> kSchedules[] = {
    {SimSchedule::Forward, 0}, {SimSchedule::Reverse, 0}, {SimSchedule::Seeded, 1}, {SimSchedule::Seeded, 2}};

TEST_P(Planted, IsReported) {
  const Bug& bug = GetParam();
  const std::string line = join_text("planted.cu:", bug.line);
  if (bug.seen_by == SeenBy::Address && !kAddress)
    GTEST_SKIP() << bug.name << ": only AddressSanitizer sees it; run the asan build";
  if (bug.seen_by == SeenBy::Thread && !kThread)
    GTEST_SKIP() << bug.name << ": only ThreadSanitizer sees it; run the sim-tsan build";
  if (bug.seen_by == SeenBy::Address || (kAddress && std::string(bug.kernel) == "shared_overrun_by_pointer")) {
    // The report gives the kernel as a function of the stack; an overrun by pointer is given where it is written.
    EXPECT_DEATH(bug.run(stream, memory),
                 join_text("AddressSanitizer: .*(.|\n)* in ", bug.kernel, "[^\n]*",
                           bug.seen_by == SeenBy::Address ? line : std::string("planted.cu:")));
    return;
  }
  if (bug.seen_by == SeenBy::Thread) {
    EXPECT_EXIT(
        {
          bug.run(stream, memory);
          std::exit(0);  // the sanitizer makes it 66 after a report
        },
        testing::ExitedWithCode(66), join_text("data race(.|\n)*", bug.kernel, "[^\n]*", line));
    return;
  }
  for (const auto& [kind, seed] : kSchedules) {
    sim_set_schedule(kind, seed);
    std::string said;
    try {
      bug.run(stream, memory);
    } catch (const Error& e) {
      said = e.what();
    }
    ASSERT_FALSE(said.empty()) << bug.name << " was not reported";
    std::cout << said << "\n";
    EXPECT_EQ(said.find(std::string(bug.name) + ": "), 0u) << said;
    EXPECT_NE(said.find(bug.kind), std::string::npos) << said;
    // The other of two accesses that are apart by a missing barrier is given by its line alone.
    EXPECT_TRUE(said.find(line) != std::string::npos ||
                said.find(join_text(" line ", bug.line, " ")) != std::string::npos)
        << said << "\nexpected " << line;
    check_sound();
  }
}

std::string test_name(const testing::TestParamInfo<Bug>& info) {
  return info.param.kernel;
}

INSTANTIATE_TEST_SUITE_P(Bugs, Planted, testing::ValuesIn(planted::bugs()), test_name);

struct Right : Planted {};

TEST_F(Right, NothingIsReported) {
  for (const auto& [kind, seed] : kSchedules) {
    sim_set_schedule(kind, seed);
    check_sound();
  }
}

}  // namespace
}  // namespace ito
