// SPDX-License-Identifier: Apache-2.0
// Two answers joined, and the join's gradients, against fp64 loops: at times before, on, within and after the interval,
// with channels that are not guided, of answers of unlike widths. Where the weight is 1, main's bits.
#include "kernels/diffusion/guided_answer.h"

#include <limits>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr GuidanceWeight kWeight{.weight = 2.75f, .from = 10, .to = 500};
constexpr float kTimes[] = {500, 10, 500.0001f, 250, 9.999f};
// Image alone; with a variance in main, in the other, in both; more images than times.
constexpr GuidedShape kShapes[] = {{1, 1, 1, 1, 1}, {3, 7, 3, 3, 3}, {5, 6, 3, 6, 3}, {4, 5, 2, 2, 4}, {7, 9, 3, 6, 6}};

struct Problem {
  explicit Problem(const GuidedShape& s) : shape(s) {
    for (int i = 0; i < s.n; ++i) times.push_back(kTimes[i % std::size(kTimes)]);
  }
  size_t rows() const { return static_cast<size_t>(shape.n * shape.pixels); }
  double weight(size_t row) const {
    const double time = times[row / static_cast<size_t>(shape.pixels)];
    return time >= 10 && time <= 500 ? 2.75 : 1;
  }
  // f(row, channel, place in main, place in the other) for every number that is guided.
  template <class F>
  void for_guided(F&& f) const {
    for (size_t row = 0; row < rows(); ++row)
      for (size_t c = 0; c < static_cast<size_t>(shape.channels); ++c)
        f(row, row * shape.main_channels + c, row * shape.other_channels + c);
  }
  GuidedShape shape;
  Values times;
};

template <class T>
class GuidedAnswer : public ::testing::Test {};
TYPED_TEST_SUITE(GuidedAnswer, StorageTypes);

// A difference and a fused sum, each rounded in fp32 to 2^-24 of the terms' sizes, and the result to T.
TYPED_TEST(GuidedAnswer, MatchesLoops) {
  using T = TypeParam;
  for_each_case(kShapes, [](Stream& stream, const GuidedShape& shape) {
    const Problem p(shape);
    const Values main = stored<T>(random_values(p.rows() * shape.main_channels, 1)),
                 other = stored<T>(random_values(p.rows() * shape.other_channels, 2)),
                 danswer = stored<T>(random_values(main.size(), 3));
    DeviceArray<T> device_main(stream, main), device_other(stream, other), answer(stream, main.size()),
        device_danswer(stream, danswer);
    DeviceArray<float> times(stream, p.times);
    DeviceArray<GuidanceWeight> weight(stream, 1);
    weight.upload_raw({kWeight});
    guided_answer(stream, answer.data(), device_main.data(), device_other.data(), times, weight, shape);
    Values want = main, magnitude = absolute(main), dmain = danswer, dother(other.size(), 0.0);
    p.for_guided([&](size_t row, size_t i, size_t j) {
      const double w = p.weight(row);
      want[i] = main[i] + (w - 1) * (main[i] - other[j]);
      magnitude[i] += 2 * (w - 1) * (std::fabs(main[i]) + std::fabs(other[j]));
      dmain[i] = w * danswer[i];
      dother[j] = (1 - w) * danswer[i];
    });
    const double rounding = kRound<T> + kRoundFloat;
    expect_close("answer", answer.values(), want, rounding, kRoundFloat, magnitude);
    expect_set_and_added<T>(stream, "dmain", dmain, rounding, 2 * kRound<T>, absolute(dmain), [&](T* dx, Write write) {
      guided_answer_backward(stream, dx, write, {}, Write::Set, device_danswer.data(), times, weight, shape);
    });
    expect_set_and_added<T>(
        stream, "dother", dother, rounding, 2 * kRound<T>, absolute(dother), [&](T* dx, Write write) {
          guided_answer_backward(stream, {}, Write::Set, dx, write, device_danswer.data(), times, weight, shape);
        });
  });
}

// Of zeros of both signs too, and beside numbers that are none. Two times of the first image are outside.
TYPED_TEST(GuidedAnswer, IsMainToTheBitWhereTheWeightIsOne) {
  using T = TypeParam;
  Stream stream;
  const GuidedShape shape{2, 3, 1, 1, 1};
  const double none = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  DeviceArray<T> main(stream, Values{-0.0, 0, 1e-3, infinite, -3, -0.0}),
      other(stream, Values{1, -1, none, infinite, infinite, 0}), answer(stream, 6);
  DeviceArray<float> times(stream, Values{9, 100});
  DeviceArray<GuidanceWeight> weight(stream, 1);
  for (const GuidanceWeight& one : {GuidanceWeight{1, 0, 1000}, GuidanceWeight{7, 10, 99}}) {
    weight.upload_raw({one});
    guided_answer(stream, answer.data(), main.data(), other.data(), times, weight, shape);
    EXPECT_EQ(answer.bits(), main.bits());
  }
  EXPECT_THROW(guided_answer(stream, answer.data(), main.data(), other.data(), nullptr, weight, shape), Error);
  EXPECT_THROW(guided_answer(stream, answer.data(), main.data(), other.data(), times, weight, {2, 3, 2, 1, 2}), Error);
}

}  // namespace
}  // namespace ito::test
