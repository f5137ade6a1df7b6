// SPDX-License-Identifier: Apache-2.0
// The loss and its gradient against fp64, an image a row of coefficients; the noise it draws again is noising's bit for
// bit.
#include "kernels/diffusion/loss.h"

#include "kernels/diffusion/noising.h"
#include "tests/cases/forward_row.h"
#include "tests/cases/pointwise.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/forward_row.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);  // of one fp32 normal; see test_sample_noise.cpp

ref::ForwardCase forward_case(uint64_t seed, uint32_t first, const std::vector<ForwardRow>& rows, int64_t image_size,
                              int batch) {
  const int n = static_cast<int>(rows.size());
  return {.x0 = stored<float>(random_values(n * image_size, 1)),
          .eps = ref::normals(seed, 0, first, purpose_word(Purpose::Noise), n, image_size),
          .eps2 = ref::normals(seed, 0, first, purpose_word(Purpose::SecondNoise), n, image_size),
          .rows = rows,
          .image_size = image_size,
          .batch = batch};
}

template <class T>
class Loss : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(Loss, StorageTypes);

// An error e = pred - target is off by each normal's error times its coefficient and a few u of its terms; a square by
// twice that times |e|; the mean and the last rounding by a few u.
TYPED_TEST(Loss, MatchesFp64) {
  using T = TypeParam;
  const int n = static_cast<int>(cases::kForwardRows.size()), batch = n + 2;
  DeviceArray<ForwardRow> rows(this->stream, n);
  rows.upload_raw(cases::kForwardRows);
  for (const int64_t size : cases::kImageElements) {
    SampleCounter counter;
    counter.seed = 4, counter.first = 19;
    const ref::ForwardCase s = forward_case(4, 19, cases::kForwardRows, size, batch);
    const Values pred = stored<T>(random_values(n * size, 2));
    DeviceArray<float> x0(this->stream, s.x0), loss(this->stream, n), plain(this->stream, n), alone(this->stream, 1);
    DeviceArray<T> device_pred(this->stream, pred), dpred(this->stream, n * size), one(this->stream, size);
    squared_loss(this->stream, loss, dpred.data(), device_pred.data(), x0, rows, counter, n, size, batch);
    Values bound(n, 1e-30), gradient_bound(n * size);
    const Values want_gradient = ref::loss_gradient(pred, s), want = ref::loss(pred, s);
    for (size_t i = 0; i < pred.size(); ++i) {
      const ForwardRow& row = s.row_of(i);
      const double error = std::fabs(pred[i] - ref::target(s, i));
      const double terms = std::fabs(row.target_x0 * s.x0[i]) + std::fabs(row.target_eps * s.eps[i]) +
                           std::fabs(row.target_eps2 * s.eps2[i]);
      const double off =
          kNormalError * (std::fabs(row.target_eps) + std::fabs(row.target_eps2)) + 3 * u * (terms + error);
      bound[i / size] += row.weight / static_cast<double>(size) * (2 * error * off + off * off + 6 * u * error * error);
      gradient_bound[i] = 2 * row.weight / (static_cast<double>(size) * batch) * off +
                          (4 * u + kRound<T>)*std::fabs(want_gradient[i]) + 1e-37;
    }
    const std::string what = join_text("image size ", size);
    expect_within(what, loss.values(), want, bound);
    expect_within(what + " dpred", dpred.values(), want_gradient, gradient_bound);

    // An image alone, and a loss without gradient: the same bits.
    SampleCounter last = counter;
    last.first += n - 1;
    squared_loss(this->stream, alone, one.data(), device_pred.data() + (n - 1) * size, x0 + (n - 1) * size,
                 rows + (n - 1), last, 1, size, batch);
    EXPECT_EQ(alone.bits(), loss.bits().substr((n - 1) * sizeof(float)));
    EXPECT_EQ(one.bits(), dpred.bits().substr((n - 1) * size * sizeof(T)));
    squared_loss(this->stream, plain, {}, device_pred.data(), x0, rows, counter, n, size, batch);
    EXPECT_EQ(plain.bits(), loss.bits());
  }
}

// A target that leaves something out does not look at it: x0 may be anything where only noise is taught.
TEST(LossTarget, LeavesOutWhatItDoesNotWeigh) {
  Stream stream;
  const int64_t size = 37;
  const Values pred = stored<float>(random_values(size, 2));
  DeviceArray<float> x0(stream, random_values(size, 1)), other(stream, size), device_pred(stream, pred);  // other: NaN
  DeviceArray<float> loss(stream, 1), loss_of_other(stream, 1);
  DeviceArray<ForwardRow> row(stream, 1);
  row.upload_raw({cases::kForwardRows[0]});
  squared_loss(stream, loss, {}, device_pred.data(), x0, row, {}, 1, size, 1);
  squared_loss(stream, loss_of_other, {}, device_pred.data(), other, row, {}, 1, size, 1);
  EXPECT_EQ(loss.bits(), loss_of_other.bits());
}

TEST(LossReference, GradientIsTheDerivative) {
  const int n = static_cast<int>(cases::kForwardRows.size());
  const int64_t size = 10;
  const ref::ForwardCase s = forward_case(5, 0, cases::kForwardRows, size, n);
  const Values pred = random_values(n * size, 3);
  expect_gradient(
      "loss",
      [&](const Values& p) {
        double mean = 0;
        for (double l : ref::loss(p, s)) mean += l / n;
        return mean;
      },
      pred, ref::loss_gradient(pred, s));
}

// Where noising writes a draw alone, predicting what it wrote leaves exactly nothing: of eps, and of eps2.
TEST(LossNoise, IsNoisingsBitForBit) {
  Stream stream;
  const std::vector<ForwardRow> host = {{.eps = 1, .target_eps = 1, .weight = 1},
                                        {.eps2 = 1, .target_eps2 = 1, .weight = 1}};
  const int n = 2;
  DeviceArray<ForwardRow> rows(stream, n);
  rows.upload_raw(host);
  for (const int64_t size : cases::kImageElements) {
    DeviceArray<float> x0(stream, random_values(n * size, 1)), x_t(stream, n * size);
    DeviceArray<float> loss(stream, n), dpred(stream, n * size);
    DeviceArray<int64_t> step(stream, Values{6});
    const SampleCounter counter = SampleCounter::of_training(5, step, 3, 1);
    add_noise(stream, x_t.data(), nullptr, x0, rows, counter, n, size);
    squared_loss(stream, loss, dpred.data(), x_t.data(), x0, rows, counter, n, size, n);
    EXPECT_EQ(loss.values(), Values(n, 0.0));
    EXPECT_EQ(dpred.values(), Values(n * size, 0.0));
    const Values drawn = x_t.values();
    EXPECT_NE(Values(drawn.begin(), drawn.begin() + size), Values(drawn.begin() + size, drawn.end()));
  }
}

TEST(LossErrors, NameWhatIsWrong) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  EXPECT_THROW(squared_loss(stream, x, {}, x.data(), x, nullptr, {}, 2, 2, 1), Error);
}

}  // namespace
}  // namespace ito::test
