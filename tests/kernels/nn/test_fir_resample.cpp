// SPDX-License-Identifier: Apache-2.0
// Resampling through the filter (1, 3, 3, 1), up and down, each with its gradient.
#include "kernels/nn/fir_resample.h"

#include "tests/cases/resample.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/fir_resample.h"

namespace ito::test {
namespace {

// Four products of a column are joined by four roundings, then three columns and the factor 3 by two; the scale is a
// power of two. A term passes all of them at most.
constexpr double kRoundings = 7 * kRoundFloat;

template <class T>
class FirResample : public ::testing::Test {
 protected:
  Stream stream;

  void forward(DeviceArray<T>& y, const DeviceArray<T>& x, const cases::Fir& s, bool up) {
    (up ? fir_upsample : fir_downsample)(stream, y.data(), x.data(), s.n, s.h, s.w, s.c);
  }
  void backward(DeviceArray<T>& dx, Write write, const DeviceArray<T>& dy, const cases::Fir& s, bool up) {
    (up ? fir_upsample_backward : fir_downsample_backward)(stream, dx.data(), write, dy.data(), s.n, s.h, s.w, s.c);
  }
};
TYPED_TEST_SUITE(FirResample, StorageTypes);

TYPED_TEST(FirResample, IsTheFilterAndItsTranspose) {
  using T = TypeParam;
  for (const bool up : {false, true}) {
    for (const cases::Fir& s : cases::kFir) {
      const std::string what = join_text(up ? "up " : "down ", s.n, " of ", s.h, "x", s.w, "x", s.c);
      const Values x = stored<T>(random_values(s.count(), 1)), want = ref::fir(x, s, up);
      DeviceArray<T> device_x(this->stream, x), y(this->stream, want.size());
      this->forward(y, device_x, s, up);
      expect_close(what, y.values(), want, kRound<T>, kRoundings, ref::fir(absolute(x), s, up));

      const Values dy = stored<T>(random_values(want.size(), 2)), gradient = ref::fir_backward(dy, s, up);
      DeviceArray<T> device_dy(this->stream, dy);
      expect_set_and_added<T>(this->stream, what + " dx", gradient, kRound<T>, kRoundings,
                              ref::fir_backward(absolute(dy), s, up),
                              [&](DeviceArray<T>& dx, Write write) { this->backward(dx, write, device_dy, s, up); });
      expect_gradient(
          what, [&](const Values& v) { return dot(dy, ref::fir(v, s, up)); }, x, gradient, 2);
    }
  }
}

// The last image of a batch alone, its channels at an address that no pack may begin at.
TYPED_TEST(FirResample, AnImageHasTheBitsItHasAlone) {
  using T = TypeParam;
  const cases::Fir all = cases::kFir.back(), one{1, all.h, all.w, all.c};
  const size_t before = all.count() - one.count();
  const Values x = stored<T>(random_values(all.count(), 3));
  for (const bool up : {false, true}) {
    const auto out = [&](size_t in) { return up ? 4 * in : in / 4; };
    DeviceArray<T> device_x(this->stream, x), y(this->stream, out(all.count()));
    this->forward(y, device_x, all, up);
    Values shifted(1, 0.0);
    shifted.insert(shifted.end(), x.begin() + static_cast<int64_t>(before), x.end());
    DeviceArray<T> alone(this->stream, shifted), own(this->stream, out(one.count()));
    (up ? fir_upsample : fir_downsample)(this->stream, own.data(), alone.data() + 1, 1, one.h, one.w, one.c);
    EXPECT_EQ(own.bits(), y.bits().substr(out(before) * sizeof(T))) << (up ? "up" : "down");
  }
}

// Numbers by hand: a pixel of 64 in the corner, and what zeros around an image take from a constant one.
TEST(FirFilter, SpreadsAPixelAndFadesAtTheEdge) {
  Stream stream;
  DeviceArray<float> pixel(stream, Values{64, 0, 0, 0}), up(stream, 16), ones(stream, Values(16, 1.0)), down(stream, 4);
  fir_upsample(stream, up.data(), pixel.data(), 1, 2, 2, 1);
  EXPECT_EQ(up.values(), (Values{36, 36, 12, 0, 36, 36, 12, 0, 12, 12, 4, 0, 0, 0, 0, 0}));
  fir_downsample(stream, down.data(), ones.data(), 1, 4, 4, 1);
  EXPECT_EQ(down.values(), Values(4, 49.0 / 64));
}

}  // namespace
}  // namespace ito::test
