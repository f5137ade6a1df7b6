// SPDX-License-Identifier: Apache-2.0
// The two gauges of an image against sorting and plain fp64 sums.
#include "kernels/diffusion/gauge.h"

#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

ReverseRow row_with(Gauge gauge, float ratio, float most) {
  ReverseRow row{};
  row.x0_from_x = 1.6f, row.x0_from_pred = -1.2f;
  row.eps_from_x = 0.1f, row.eps_from_pred = 0.9f;
  row.sigma = 0.6f;
  row.draw = 4;
  row.gauge = gauge, row.gauge_ratio = ratio, row.gauge_most = most;
  return row;
}

template <class T>
class GaugeKernel : public ::testing::Test {
 protected:
  Stream stream;

  // The gauges of n images whose state and answer are uniform in +-size, and the reference's.
  void run(const ReverseRow& row, int n, int pixels, int c, bool wide, double size, Values& got, Values& expected) {
    const int64_t numbers = int64_t{pixels} * c, count = n * numbers;
    const int width = wide ? 2 : 1;
    Values state = random_values(count, 1), pred = random_values(width * count, 2);
    for (double& value : state) value *= size;
    for (double& value : pred) value *= size;
    state = stored<float>(state), pred = stored<T>(pred);
    DeviceArray<float> x(stream, state), gauges(stream, Values(2 * n, -7));
    DeviceArray<T> answer(stream, pred);
    DeviceArray<ReverseRow> table(stream, 1);
    table.upload_raw({row});
    DeviceArray<int64_t> at(stream, Values{0});
    SampleCounter counter;
    counter.seed = 6, counter.first = 50;
    measure_gauges(stream, gauges, x, answer.data(), wide, table, at, counter, n, pixels, c);
    got = gauges.values();
    // The same z, given: the same step, up to the rounding of z.
    Values draws((row.draw + 1) * count, NAN);
    const Values own = ref::normals(counter.seed, row.draw, 50, purpose_word(Purpose::ReverseNoise), n, numbers);
    std::copy(own.begin(), own.end(), draws.end() - count);
    DeviceArray<float> given(stream, draws), of_given(stream, Values(2 * n, -7));
    SampleCounter counter_given = counter;
    counter_given.given = given;
    measure_gauges(stream, of_given, x, answer.data(), wide, table, at, counter_given, n, pixels, c);
    Values sizes = got;
    for (double& size_of : sizes) size_of = std::fabs(size_of);
    expect_close("given z", of_given.values(), got, 0, 40 * u, sizes);

    const Values noise = ref::normals(counter.seed, row.draw, 50, purpose_word(Purpose::ReverseNoise), n, numbers);
    expected.clear();
    for (int image = 0; image < n; ++image) {
      std::vector<ref::RowInput> inputs(numbers);
      for (int64_t i = 0; i < numbers; ++i) {
        const int64_t element = image * numbers + i;
        inputs[i].x = state[element], inputs[i].z = noise[element];
        inputs[i].pred = pred[element / c * width * c + element % c];
      }
      for (const double gauge : ref::gauges_of(row, inputs)) expected.push_back(gauge);
    }
    // The last image alone: the same bits.
    DeviceArray<float> alone(stream, Values{-7, -7});
    counter.first += n - 1;
    measure_gauges(stream, alone, x.data() + (n - 1) * numbers, answer.data() + (n - 1) * numbers * width, wide, table,
                   at, counter, 1, pixels, c);
    EXPECT_EQ(alone.bits(), gauges.bits().substr((2 * n - 2) * sizeof(float)));
  }
};
TYPED_TEST_SUITE(GaugeKernel, StorageTypes);

// An estimate is two roundings of terms that together are at most 2.8 `size`; the interpolation adds two more and the
// ratio's product none that moves its place by more than 1e-9 of a number.
TYPED_TEST(GaugeKernel, TheQuantileIsTheSortedOnes) {
  for (const auto& [n, pixels, c] : {std::tuple{3, 5, 3}, {2, 700, 3}, {1, 1, 1}, {2, 64, 4}})
    for (const float ratio : {0.87f, 0.995f, 0.5f, 1.0f})
      for (const bool wide : {false, true}) {
        const double size = 4;
        Values got, expected;
        this->run(row_with(Gauge::Quantile, ratio, 1e6f), n, pixels, c, wide, size, got, expected);
        expect_close(join_text("quantile ", ratio, " of ", n, " x ", pixels, " x ", c), got, expected, 0, 4 * u,
                     Values(2 * n, 2.8 * size));
      }
}

TYPED_TEST(GaugeKernel, TheThresholdIsAtLeastOneAndAtMostTheLargest) {
  Values got, expected;
  this->run(row_with(Gauge::Quantile, 0.9f, 5), 2, 20, 3, false, 0.1, got, expected);
  EXPECT_EQ(got, (Values{1, 0, 1, 0})) << "small estimates are not blown up";
  this->run(row_with(Gauge::Quantile, 0.9f, 2), 2, 20, 3, false, 10, got, expected);
  EXPECT_EQ(got, (Values{2, 0, 2, 0}));
  this->run(row_with(Gauge::Quantile, 0.9f, 0.5f), 1, 20, 3, false, 10, got, expected);
  EXPECT_EQ(got, (Values{0.5, 0})) << "the largest wins where it is below 1";
}

// Sums of squares in double of numbers with a few roundings each: relative 2 (3u) of eps, whose terms do not cancel in
// the sum as a whole, and the normals' own error, averaged over the image.
TYPED_TEST(GaugeKernel, TheLangevinStepIsThatOfTheNorms) {
  for (const auto& [n, pixels, c] : {std::tuple{3, 5, 3}, {2, 700, 3}, {2, 64, 4}})
    for (const bool wide : {false, true}) {
      Values got, expected;
      this->run(row_with(Gauge::Langevin, 0.16f, 0.9f), n, pixels, c, wide, 1, got, expected);
      expect_close(join_text("step of ", n, " x ", pixels, " x ", c), got, expected, 0, 40 * u, expected);
    }
}

TYPED_TEST(GaugeKernel, ARowWithoutOneLeavesThem) {
  Values got, expected;
  this->run(row_with(Gauge::None, 0.5f, 1), 2, 20, 3, false, 1, got, expected);
  EXPECT_EQ(got, Values(4, -7));
}

}  // namespace
}  // namespace ito::test
