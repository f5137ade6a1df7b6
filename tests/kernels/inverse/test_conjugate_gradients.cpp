// SPDX-License-Identifier: Apache-2.0
// Conjugate gradients on small systems: as many steps as unknowns solve them, whatever else is in the batch.
#include "kernels/inverse/conjugate_gradients.h"

#include "kernels/inverse/axis_product.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr int kSize = 5;

// x after `steps` steps for A = diag(1..5) and one off-diagonal pair, and |r|^2.
std::pair<Values, Values> solve(const Values& b, int steps) {
  Stream stream;
  Values a(kSize * kSize);
  for (size_t i = 0; i < kSize; ++i) a[i * kSize + i] = static_cast<double>(i + 1);
  a[1] = a[kSize] = 0.5;
  const int n = static_cast<int>(b.size()) / kSize;
  DeviceArray<float> matrix(stream, a), right(stream, b), x(stream, b.size()), r(stream, b.size());
  DeviceArray<float> p(stream, b.size()), ap(stream, b.size());
  DeviceArray<int32_t> band(stream, Values{0, 5, 0, 5, 0, 5, 0, 5, 0, 5});
  DeviceArray<double> rr(stream, 2 * static_cast<size_t>(n));
  const CgState state{x, r, p, rr};
  cg_begin(stream, state, right, n, kSize);
  for (int i = 0; i < steps; ++i) {
    axis_product(stream, ap, p, {kSize, kSize, matrix, band}, n, 1);
    cg_step(stream, state, ap, n, kSize);
  }
  return {x.values(), rr.values()};
}

TEST(ConjugateGradients, SolvesInAsManyStepsAsUnknowns) {
  // A x for x = 1, 2, 3, 4, 5; and nothing, which stays where it is.
  Values b = {2, 4.5, 9, 16, 25, 0, 0, 0, 0, 0};
  const auto [x, rr] = solve(b, kSize);
  // Condition 6 and five steps: each adds a few roundings of |x|, times the condition.
  expect_close("x", x, {1, 2, 3, 4, 5, 0, 0, 0, 0, 0}, 0, 5 * 6 * 10 * kRoundFloat * 7.5);
  EXPECT_LE(rr[0], kCgConverged * kCgConverged * rr[1]);
  EXPECT_EQ(rr[2], 0);
  EXPECT_EQ(solve(b, 20).first, x) << "and stays there";
  b.resize(kSize);
  EXPECT_EQ(solve(b, 3).first, [&] {
    Values both = random_values(kSize, 1);
    both.insert(both.end(), b.begin(), b.end());
    const Values all = solve(both, 3).first;
    return Values(all.begin() + kSize, all.end());
  }()) << "a system knows nothing of its neighbours";
}

TEST(ConjugateGradients, ScaleAndShiftTakesTheRowsPair) {
  Stream stream;
  DeviceArray<float> out(stream, Values{1, 2, 3}), pairs(stream, Values{2, 0.5, -1, 3});
  DeviceArray<float> in(stream, Values{4, 8, 16});
  DeviceArray<int64_t> row(stream, Values{1});
  scale_and_shift(stream, out, in, pairs, nullptr, 3);
  EXPECT_EQ(out.values(), (Values{4, 8, 14}));
  scale_and_shift(stream, out, in, pairs, row, 3);
  EXPECT_EQ(out.values(), (Values{8, 16, 34}));
}

}  // namespace
}  // namespace ito::test
