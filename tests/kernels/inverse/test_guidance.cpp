// SPDX-License-Identifier: Apache-2.0
// The estimate and what pulls a vector back through it, against plain loops: with a linear answer in the network's
// place, whose Jacobian is known, the whole is the estimate's derivative. And residuals, moments of draws, and a step
// of red-diff.
#include "kernels/inverse/guidance.h"

#include "kernels/inverse/draw_moments.h"
#include "kernels/inverse/red_diff.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr int kImages = 2, kPixels = 5;

template <class T>
class GuidanceKernels : public ::testing::Test {};
TYPED_TEST_SUITE(GuidanceKernels, StorageTypes);

std::vector<ReverseRow> two_rows(float clip) {
  std::vector<ReverseRow> rows(2);
  for (ReverseRow& row : rows) {
    row.x0_from_x = 1.6f, row.x0_from_pred = -1.2f;
    row.eps_from_x = 0.25f, row.eps_from_pred = 0.75f;
    row.clip = clip;
    row.next_input_scale = 0.5f;
  }
  return rows;
}

TYPED_TEST(GuidanceKernels, PullBackIsTheDerivativeOfTheEstimate) {
  using T = TypeParam;
  Stream stream;
  for (const int channels : {1, 3})
    for (const bool wide : {false, true})
      for (const float clip : {0.0f, 1.0f})
        for (const int64_t number : {0, 1}) {
          SCOPED_TRACE(testing::Message()
                       << channels << " channels, wide " << wide << ", clip " << clip << ", row " << number);
          const size_t count = static_cast<size_t>(kImages * kPixels * channels);
          const auto c = static_cast<size_t>(channels), width = static_cast<size_t>(wide ? 2 : 1);
          const Values state = stored<float>(random_values(count, 1)), u = stored<float>(random_values(count, 2));
          const Values pred = stored<T>(random_values(width * count, 3)), pulled = stored<T>(random_values(count, 4));
          DeviceArray<float> x(stream, state), direction(stream, u), d(stream, count), g(stream, count);
          DeviceArray<T> answer(stream, pred), cotangent(stream, width * count), gradient(stream, pulled);
          DeviceArray<ReverseRow> rows(stream, 2);
          const std::vector<ReverseRow> table = two_rows(clip);
          rows.upload_raw(table);
          DeviceArray<int64_t> row(stream, Values{static_cast<double>(number)});
          const EstimateInputs in{.x = x,
                                  .pred = answer.data(),
                                  .wide = wide,
                                  .rows = rows,
                                  .row = row,
                                  .n = kImages,
                                  .pixels = kPixels,
                                  .c = channels};
          estimate_x0(stream, d, in);
          set_guidance_cotangent(stream, cotangent.data(), direction, in);
          finish_guidance(stream, g, direction, gradient.data(), 0.125f, in);
          const float a = table[0].x0_from_x, b = table[0].x0_from_pred, scale = number == 0 ? 0.125f : 0.5f;
          Values want_d, want_cotangent(width * count, 0), want_g, size_of;
          for (size_t i = 0; i < count; ++i) {
            const size_t at = i / c * c * width + i % c;
            const double estimate = a * state[i] + b * pred[at];
            const bool clips = clip > 0 && std::fabs(estimate) >= clip;
            want_d.push_back(clips ? std::copysign(clip, estimate) : estimate);
            want_cotangent[at] = clips ? 0 : b * u[i];
            want_g.push_back((clips ? 0 : a * u[i]) + scale * pulled[i]);
            size_of.push_back(std::fabs(a * state[i]) + std::fabs(b * pred[at]));
          }
          expect_close("estimate", d.values(), want_d, 0, 3 * kRoundFloat, size_of);
          expect_close("cotangent", cotangent.values(), want_cotangent, kRound<T> + kRoundFloat, 0);
          expect_close("gradient", g.values(), want_g, 0, 1e-6);
        }
}

TEST(Residual, IsOfEachImageAlone) {
  Stream stream;
  for (const int64_t m : {1, 6, 1030}) {
    const size_t count = static_cast<size_t>(kImages * m);
    const Values y = stored<float>(random_values(count, 1)), h = stored<float>(random_values(count, 2));
    DeviceArray<float> data(stream, y), estimate(stream, h), plain(stream, count), unit(stream, count);
    measure_residual(stream, plain, data, estimate, false, kImages, m);
    measure_residual(stream, unit, data, estimate, true, kImages, m);
    Values want, want_unit;
    for (size_t n = 0; n < kImages; ++n) {
      double square = 0;
      for (size_t i = n * m; i < (n + 1) * m; ++i) square += (y[i] - h[i]) * (y[i] - h[i]);
      for (size_t i = n * m; i < (n + 1) * m; ++i) {
        want.push_back(y[i] - h[i]);
        want_unit.push_back((y[i] - h[i]) / std::sqrt(square));
      }
    }
    expect_close("residual", plain.values(), want, kRoundFloat, 0);
    expect_close("unit residual", unit.values(), want_unit, 8 * kRoundFloat, 0);
    DeviceArray<float> same(stream, y), nothing(stream, count);
    measure_residual(stream, nothing, data, same, true, kImages, m);
    EXPECT_EQ(nothing.values(), Values(count, 0));  // and no division by nothing
  }
}

TEST(DrawMoments, AreThoseOfAllDrawsHoweverTheyComeIn) {
  Stream stream;
  constexpr int kGroups = 2, kChunk = 3, kDraws = 5;
  constexpr int64_t kSize = 7;
  const Values all = stored<float>(random_values(kGroups * kDraws * kSize, 1, 2.0, 10.0));
  const auto draw = [&](int group, int d, int64_t i) {
    return all[static_cast<size_t>((group * kDraws + d) * kSize + i)];
  };
  DeviceArray<double> moments(stream, 2 * kGroups * kSize);
  for (int begin = 0; begin < kDraws; begin += kChunk) {
    const int taken = std::min(kChunk, kDraws - begin);
    Values batch(kGroups * kChunk * kSize, 1e9);  // what fills up a batch counts nothing
    for (int group = 0; group < kGroups; ++group)
      for (int d = 0; d < taken; ++d)
        for (int64_t i = 0; i < kSize; ++i)
          batch[static_cast<size_t>((group * kChunk + d) * kSize + i)] = draw(group, begin + d, i);
    DeviceArray<float> x(stream, batch);
    add_draws(stream, moments, x, kGroups, kChunk, taken, begin, kSize);
  }
  DeviceArray<float> mean(stream, kGroups * kSize), deviation(stream, kGroups * kSize);
  finish_draws(stream, mean, deviation, moments, kGroups, kDraws, kSize);
  Values want_mean, want_deviation;
  for (int group = 0; group < kGroups; ++group)
    for (int64_t i = 0; i < kSize; ++i) {
      double sum = 0, square = 0;
      for (int d = 0; d < kDraws; ++d) sum += draw(group, d, i) / kDraws;
      for (int d = 0; d < kDraws; ++d) square += std::pow(draw(group, d, i) - sum, 2) / (kDraws - 1);
      want_mean.push_back(sum);
      want_deviation.push_back(std::sqrt(square));
    }
  expect_close("mean", mean.values(), want_mean, 2 * kRoundFloat, 0);
  expect_close("deviation", deviation.values(), want_deviation, 2 * kRoundFloat, 1e-12);
}

TEST(ClipStart, KeepsWhatIsWithin) {
  Stream stream;
  DeviceArray<float> x(stream, Values{-3, -0.5, 0, 0.75, 1, 1e30});
  clip_start(stream, x, 0.75f, 6);
  EXPECT_EQ(x.values(), (Values{-0.75, -0.5, 0, 0.75, 0.75, 0.75}));
}

TYPED_TEST(GuidanceKernels, RedDiffIsAStepOfAdam) {
  using T = TypeParam;
  Stream stream;
  constexpr int kChannels = 3;
  constexpr size_t kCount = kImages * kPixels * kChannels;
  const std::vector<ReverseRow> table = two_rows(0);
  const RedDiffRow step{.score = 0.3f, .rate = 0.1f, .epsilon = 1e-8f, .next_alpha = 0.8f, .next_sigma = 0.6f};
  Values from[7];
  for (uint64_t k = 0; k < 7; ++k) from[k] = stored<float>(random_values(kCount, k));
  for (double& v : from[2]) v = std::fabs(v);  // second moments
  const Values pred = stored<T>(random_values(kCount, 9));
  DeviceArray<float> mu(stream, from[0]), first(stream, from[1]), second(stream, from[2]), x(stream, from[3]);
  DeviceArray<float> eps(stream, from[4]), next(stream, from[5]), data(stream, from[6]);
  DeviceArray<T> answer(stream, pred);
  DeviceArray<ReverseRow> rows(stream, 2);
  rows.upload_raw(table);
  DeviceArray<RedDiffRow> steps(stream, 1);
  steps.upload_raw({step});
  DeviceArray<int64_t> row(stream, Values{0});
  red_diff_step(stream, {mu, first, second, x},
                {.pred = answer.data(),
                 .eps = eps,
                 .next_eps = next,
                 .data = data,
                 .data_weight = 0.25f,
                 .rows = rows,
                 .steps = steps,
                 .row = row},
                kImages, kPixels, kChannels);
  Values want_mu, want_x, want_first;
  for (size_t i = 0; i < kCount; ++i) {
    const double e = 0.25 * from[3][i] + 0.75 * pred[i];
    const double gradient = step.score * (e - from[4][i]) - 0.25 * from[6][i];
    const double m = 0.9 * from[1][i] + 0.1 * gradient, v = 0.99 * from[2][i] + 0.01 * gradient * gradient;
    want_first.push_back(m);
    want_mu.push_back(from[0][i] - step.rate * m / (std::sqrt(v) + step.epsilon));
    want_x.push_back(step.next_alpha * want_mu.back() + step.next_sigma * from[5][i]);
  }
  // A dozen roundings of terms of a few units; the quotient is at most 30.
  expect_close("first moment", first.values(), want_first, 0, 2e-6);
  expect_close("estimate", mu.values(), want_mu, 0, 1e-5);
  expect_close("next state", x.values(), want_x, 0, 1e-5);
}

}  // namespace
}  // namespace ito::test
