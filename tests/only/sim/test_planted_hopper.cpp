// SPDX-License-Identifier: Apache-2.0
// The emulation of Hopper's words must report each planted bug under every schedule, and the right kernel must give the
// right numbers under all of them, before and after.
#include <gtest/gtest.h>

#include <iostream>
#include <regex>
#include <string>

#include "kernels/dialect/sim/executor.h"
#include "tests/kernels/one_stream.h"
#include "tests/only/sim/planted_hopper.cu"  // the kernels, in this program alone

namespace ito {
namespace {

using planted::HopperBug;
using test::test_stream;

constexpr int kRounds = 5;
// Under ThreadSanitizer, where a report is slow, the first alone.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThread = true;
#else
constexpr bool kThread = false;
#endif
constexpr std::pair<SimSchedule, uint64_t> kSchedules[] = {{SimSchedule::Forward, 0},
                                                           {SimSchedule::Reverse, 0},
                                                           {SimSchedule::Seeded, 1},
                                                           {SimSchedule::Seeded, 2},
                                                           {SimSchedule::Seeded, 3}};

bf16 small(int v) {  // -1, 0, 1
  return bf16{static_cast<uint16_t>(v % 3 == 0 ? 0 : v % 3 == 1 ? 0x3F80 : 0xBF80)};
}

struct PlantedHopper : testing::TestWithParam<HopperBug> {
  PlantedHopper() : a(operand(kRounds * 64, 7)), b(operand(64, 5)), c(2 * 64 * 64) {}
  ~PlantedHopper() override { sim_set_schedule(SimSchedule::Forward); }

  static std::vector<bf16> operand(int rows, int factor) {
    std::vector<bf16> v(static_cast<size_t>(rows) * 64);
    for (size_t i = 0; i < v.size(); ++i) v[i] = small(static_cast<int>(i * i % 1009) * factor % 31);
    return v;
  }
  static float value(bf16 v) { return v.bits == 0 ? 0.0f : v.bits == 0x3F80 ? 1.0f : -1.0f; }

  // Sums of 320 products of -1, 0 and 1: below 256 in size, so that bf16 holds them.
  void check_sound() {
    planted::run_pipeline(test_stream(), a.get(), b.get(), c.get(), kRounds);
    const std::vector<bf16> x = a.read(), w = b.read(), got = c.read();
    for (size_t m = 0; m < 64; ++m)
      for (size_t n = 0; n < 64; ++n) {
        float want = 0.0f;
        for (size_t i = 0; i < kRounds; ++i)
          for (size_t k = 0; k < 64; ++k) want += value(x[(64 * i + m) * 64 + k]) * value(w[64 * n + k]);
        ASSERT_EQ(to_float(got[64 * m + n]), want) << m << " " << n;
        ASSERT_EQ(to_float(got[64 * (64 + m) + n]), want) << m << " " << n;
      }
  }

  test::TestArray<bf16> a, b, c;
};

TEST_P(PlantedHopper, IsReported) {
  const HopperBug& bug = GetParam();
  int seen = 0;
  for (const auto& [kind, seed] : kSchedules) {
    if (kThread && kind != SimSchedule::Forward) break;
    sim_set_schedule(kind, seed);
    std::string said;
    try {
      bug.run(test_stream(), a.get(), b.get(), c.get(), kRounds);
    } catch (const Error& e) {
      said = e.what();
    }
    if (!*bug.kind) {
      EXPECT_EQ(said, "");
      seen += std::isnan(to_float(c.read()[1]));
      continue;
    }
    if (said.empty()) continue;
    ++seen;
    std::cout << said << "\n";
    EXPECT_EQ(said.find("pipeline: "), 0u) << said;
    EXPECT_TRUE(std::regex_search(said, std::regex(bug.kind))) << said;
    EXPECT_NE(said.find("planted_hopper.cu:"), std::string::npos) << said;
  }
  EXPECT_GE(seen, kThread ? 1 : bug.least) << bug.name;
  check_sound();
}

INSTANTIATE_TEST_SUITE_P(Bugs, PlantedHopper, testing::ValuesIn(planted::hopper_bugs()),
                         [](const auto& info) { return std::string(info.param.name); });

struct RightHopper : PlantedHopper {};

TEST_F(RightHopper, NothingIsReported) {
  for (const auto& [kind, seed] : kSchedules) {
    sim_set_schedule(kind, seed);
    check_sound();
  }
}

}  // namespace
}  // namespace ito
