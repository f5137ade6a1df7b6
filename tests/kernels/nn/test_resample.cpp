// SPDX-License-Identifier: Apache-2.0
// Nearest resampling, mean pooling and channel concatenation, each with its gradient.
#include "kernels/nn/resample.h"

#include "kernels/nn/concat.h"
#include "tests/cases/resample.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/resample.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

template <class T>
class Resample : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(Resample, StorageTypes);

TYPED_TEST(Resample, NearestCopies) {
  using T = TypeParam;
  for (const cases::Resample& s : cases::kResample) {
    const Values x = stored<T>(random_values(s.inputs(), 1));
    DeviceArray<T> device_x(this->stream, x), y(this->stream, s.outputs());
    upsample_nearest(this->stream, y.data(), device_x.data(), s.n, s.h, s.w, s.c, s.out_h, s.out_w);
    EXPECT_EQ(y.values(), ref::upsample_nearest(x, s)) << s.h << " to " << s.out_h;
  }
}

// An input is read by at most (out/size + 1)^2 outputs: that many roundings of the sum of magnitudes.
TYPED_TEST(Resample, NearestGradient) {
  using T = TypeParam;
  for (const cases::Resample& s : cases::kResample) {
    const Values dy = stored<T>(random_values(s.outputs(), 2));
    const double terms = (s.out_h / s.h + 1.0) * (s.out_w / s.w + 1.0);
    DeviceArray<T> device_dy(this->stream, dy);
    const Values want = ref::upsample_nearest_backward(dy, s), size = ref::upsample_nearest_backward(absolute(dy), s);
    expect_set_and_added<T>(this->stream, "dx", want, kRound<T>, terms * u, size, [&](DeviceArray<T>& dx, Write write) {
      upsample_nearest_backward(this->stream, dx.data(), write, device_dy.data(), s.n, s.h, s.w, s.c, s.out_h, s.out_w);
    });
    const Values x = random_values(s.inputs(), 4);
    expect_gradient(
        "nearest", [&](const Values& v) { return dot(dy, ref::upsample_nearest(v, s)); }, x, want, 2);
  }
}

TYPED_TEST(Resample, Pool) {
  using T = TypeParam;
  for (const cases::Resample& s : cases::kResample) {
    const Values x = stored<T>(random_values(s.inputs(), 5));
    DeviceArray<T> device_x(this->stream, x), y(this->stream, s.pooled());
    average_pool(this->stream, y.data(), device_x.data(), s.n, s.h, s.w, s.c);
    expect_close("pool", y.values(), ref::average_pool(x, s), kRound<T>, 4 * u, ref::average_pool(absolute(x), s));

    const Values dy = stored<T>(random_values(s.pooled(), 6)), want = ref::average_pool_backward(dy, s);
    DeviceArray<T> device_dy(this->stream, dy);
    expect_set_and_added<T>(
        this->stream, "pool dx", want, kRound<T>, 0, absolute(want), [&](DeviceArray<T>& dx, Write write) {
          average_pool_backward(this->stream, dx.data(), write, device_dy.data(), s.n, s.h, s.w, s.c);
        });
    expect_gradient(
        "pool", [&](const Values& v) { return dot(dy, ref::average_pool(v, s)); }, x, want, 2);
  }
}

// PyTorch's indices for 14 -> 46 (torch 1.13, interpolate(mode="nearest")); exact arithmetic would give 7 at i = 23.
TEST(NearestIndex, IsPyTorchs) {
  const Values want = {0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3,  3,  3,  3,  4,  4,  4,  5,  5,  5,  6,  6,  6,
                       6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13};
  Stream stream;
  Values x(14);
  for (int i = 0; i < 14; ++i) x[i] = i;
  DeviceArray<float> device_x(stream, x), y(stream, 46);
  upsample_nearest(stream, y.data(), device_x.data(), 1, 14, 1, 1, 46, 1);
  EXPECT_EQ(y.values(), want);
}

TYPED_TEST(Resample, ConcatAndSplit) {
  using T = TypeParam;
  for (const cases::Concat& s : cases::kConcat) {
    const Values a = stored<T>(random_values(size_t(s.rows) * s.ca, 8));
    const Values b = stored<T>(random_values(size_t(s.rows) * s.cb, 9));
    DeviceArray<T> device_a(this->stream, a), device_b(this->stream, b), y(this->stream, a.size() + b.size());
    concat_channels(this->stream, y.data(), device_a.data(), device_b.data(), s.rows, s.ca, s.cb);
    Values want;
    for (int64_t r = 0; r < s.rows; ++r) {
      want.insert(want.end(), a.begin() + r * s.ca, a.begin() + (r + 1) * s.ca);
      want.insert(want.end(), b.begin() + r * s.cb, b.begin() + (r + 1) * s.cb);
    }
    EXPECT_EQ(y.values(), want);

    DeviceArray<T> da(this->stream, a.size()), db(this->stream, b);
    split_channels(this->stream, da.data(), Write::Set, db.data(), Write::Add, y.data(), s.rows, s.ca, s.cb);
    EXPECT_EQ(da.bits(), device_a.bits());
    expect_close("db added", db.values(), plus(b, b), u + kRound<T>, 0);
    split_channels(this->stream, {}, Write::Set, db.data(), Write::Set, y.data(), s.rows, s.ca, s.cb);
    EXPECT_EQ(db.bits(), device_b.bits());
    split_channels(this->stream, da.data(), Write::Add, {}, Write::Set, y.data(), s.rows, s.ca, s.cb);
    expect_close("da added", da.values(), plus(a, a), u + kRound<T>, 0);
  }
}

}  // namespace
}  // namespace ito::test
