// SPDX-License-Identifier: Apache-2.0
// The largest and the mean of windows against plain loops. The largest is one of the numbers, so it is exact; a mean of
// S^2 numbers is S^2 - 1 additions and a division, each within u of a partial sum of magnitudes.
#include "kernels/nn/windows.h"

#include "tests/cases/windows.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/windows.h"

namespace ito::test {
namespace {

template <class T>
class Windows : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(Windows, StorageTypes);

TYPED_TEST(Windows, MatchLoops) {
  using T = TypeParam;
  for_each_case(cases::kWindows, [&](Stream& stream, const cases::WindowCase& c) {
    const WindowShape& s = c.shape;
    const Values x = stored<T>(random_values(size_t(c.n) * s.h * s.w * s.c, 1));
    DeviceArray<T> device_x(stream, x), y(stream, size_t(c.n) * s.out_h() * s.out_w() * s.c);
    window_max(stream, y.data(), device_x.data(), c.n, s);
    EXPECT_EQ(y.values(), ref::window_max(x, s, c.n));
    window_mean(stream, y.data(), device_x.data(), c.n, s);
    expect_close("mean", y.values(), ref::window_mean(x, s, c.n), kRound<T>, s.size * s.size * kRoundFloat,
                 ref::window_mean(absolute(x), s, c.n));
  });
}

// Windows of two along a padded row of numbers below zero, which padding is not: the second and the third hold the NaN.
TYPED_TEST(Windows, OfNoNumberIsNone) {
  using T = TypeParam;
  DeviceArray<T> x(this->stream, Values{-1, NAN, -3, -4}), y(this->stream, 10);
  const WindowShape row{1, 4, 1, 2, 1, 1};  // to 2 x 5
  for (const auto pool : {window_max, window_mean}) {
    pool(this->stream, y.data(), x.data(), 1, row);
    const Values got = y.values();
    EXPECT_EQ(got[0], -1);
    EXPECT_TRUE(std::isnan(got[1]) && std::isnan(got[2]));
    EXPECT_EQ(got[3], pool == window_max ? -3 : -3.5);
    EXPECT_EQ(got[4], -4);
  }
}

TEST(WindowChecks, RefuseWindowsThatMissTheImage) {
  Stream stream;
  DeviceArray<float> x(stream, 64);
  EXPECT_THROW(window_max(stream, x.data(), x.data(), 1, {2, 2, 1, 3, 1, 0}), Error);
  EXPECT_THROW(window_mean(stream, x.data(), x.data(), 1, {8, 8, 1, 2, 1, 2}), Error);
}

}  // namespace
}  // namespace ito::test
