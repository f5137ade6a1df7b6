// SPDX-License-Identifier: Apache-2.0
// What stands between a network and the probability flow: interpolated rows, slopes, probes and the divergence that
// they estimate, against plain fp64 loops.
#include "kernels/diffusion/probability_flow.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

FlowRow row_at(double l) {
  const double s = std::exp(l), alpha = 1 / std::sqrt(1 + s * s), sigma = s * alpha;
  return {.time = 100 + 20 * l, .input_scale = 1 / alpha, .from_x = -sigma * sigma, .from_pred = sigma};
}

template <class T>
class ProbabilityFlowKernels : public ::testing::Test {
 protected:
  static constexpr int kImages = 3, kPixels = 7, kChannels = 3, kSize = kPixels * kChannels;
  Stream stream;
};
TYPED_TEST_SUITE(ProbabilityFlowKernels, StorageTypes);

TYPED_TEST(ProbabilityFlowKernels, RowsAreThoseOfTheTimes) {
  using T = TypeParam;
  const int n = 6, size = 5, count = 4097;
  const double first = -6, spacing = 14.0 / (count - 1);
  std::vector<FlowRow> table;
  for (int i = 0; i < count; ++i) table.push_back(row_at(first + i * spacing));
  DeviceArray<FlowRow> rows(this->stream, count), at(this->stream, n);
  rows.upload_raw(table);
  const Values when = {first, -6 + 0.4 * spacing, -1.2345, 3.1, 8 - 0.3 * spacing, 8};
  const Values state = stored<float>(random_values(n * size, 3));
  DeviceArray<double> times(this->stream, when);
  DeviceArray<float> x(this->stream, state), timestep(this->stream, n), level(this->stream, 2 * n);
  DeviceArray<T> sample(this->stream, n * size);
  const FlowInputs inputs = {.at = at, .sample = sample.data(), .timestep = timestep, .level = level};
  flow_inputs(this->stream, inputs, x, times, {.rows = rows, .count = count, .first = first, .spacing = spacing}, n,
              size);
  const std::vector<FlowRow> got = at.raw();
  const Values given = sample.values(), told = timestep.values(), levels = level.values();
  for (int i = 0; i < n; ++i) {
    const FlowRow expected = row_at(when[i]);
    EXPECT_NEAR(got[i].time, expected.time, 1e-10);
    EXPECT_NEAR(got[i].input_scale / expected.input_scale, 1, 1e-11);
    EXPECT_NEAR(got[i].from_x / expected.from_x, 1, 1e-10);  // e^(2 l) at steps of 3.4e-3
    EXPECT_NEAR(got[i].from_pred / expected.from_pred, 1, 1e-11);
    EXPECT_NEAR(told[i] / expected.time, 1, 2 * u);
    // The input's share of x0 is 1 here, and that of eps s.
    EXPECT_NEAR(levels[2 * i], 1, 2 * u);
    EXPECT_NEAR(levels[2 * i + 1] / std::exp(when[i]), 1, 2 * u);
    for (int j = i * size; j < (i + 1) * size; ++j)
      EXPECT_NEAR(given[j], expected.input_scale * state[j],
                  std::fabs(expected.input_scale * state[j]) * (kRound<T> + 3 * u));
  }
  // A table of one row, and nobody who asks for the level.
  flow_inputs(this->stream, {.at = at, .sample = sample.data(), .timestep = timestep, .level = nullptr}, x, times,
              {.rows = rows.data() + 17, .count = 1, .first = 0, .spacing = 1}, n, size);
  for (const FlowRow& row : at.raw()) EXPECT_EQ(row.from_x, table[17].from_x);
}

TYPED_TEST(ProbabilityFlowKernels, SlopesAreTheirSums) {
  using T = TypeParam;
  const int n = this->kImages, c = this->kChannels, size = this->kSize;
  std::vector<FlowRow> rows;
  for (int i = 0; i < n; ++i) rows.push_back(row_at(i - 1));
  DeviceArray<FlowRow> at(this->stream, n);
  at.upload_raw(rows);
  const Values state = stored<float>(random_values(n * size, 5));
  DeviceArray<float> x(this->stream, state), slope(this->stream, n * size);
  for (const bool wide : {false, true}) {
    const int width = wide ? 2 : 1;
    const Values pred = stored<T>(random_values(width * n * size, 6));
    DeviceArray<T> answer(this->stream, pred);
    flow_slope(this->stream, slope, x, answer.data(), wide, at, n, this->kPixels, c);
    Values expected, bound;
    for (int i = 0; i < n * size; ++i) {
      const FlowRow& row = rows[i / size];
      const double a = row.from_x * state[i], b = row.from_pred * pred[i / c * width * c + i % c];
      expected.push_back(a + b);
      bound.push_back(2 * u * (std::fabs(a) + std::fabs(b)));
    }
    expect_within("slope", slope.values(), expected, bound);
  }
}

TYPED_TEST(ProbabilityFlowKernels, ProbesEstimateTheDivergence) {
  using T = TypeParam;
  const int n = this->kImages, c = this->kChannels, size = this->kSize;
  std::vector<FlowRow> rows;
  for (int i = 0; i < n; ++i) rows.push_back(row_at(i - 1));
  DeviceArray<FlowRow> at(this->stream, n);
  at.upload_raw(rows);
  DeviceArray<double> divergence(this->stream, 2 * n);
  SampleCounter counter;
  counter.seed = 11, counter.first = 40;
  for (const bool wide : {false, true}) {
    DeviceArray<T> cotangent(this->stream, (wide ? 2 : 1) * n * size);
    const auto probe_of = [&](const FlowProbe& probe, const SampleCounter& which) {
      set_probe(this->stream, cotangent.data(), probe, wide, which, n, this->kPixels, c);
      const Values all = cotangent.values();
      Values v;
      for (int i = 0; i < n * size; ++i) {
        v.push_back(all[wide ? i + i / c * c : i]);
        if (wide) {
          EXPECT_EQ(all[i + i / c * c + c], 0) << "the channels left out";
        }
      }
      return v;
    };
    const Values gradient = stored<T>(random_values(n * size, 8));
    DeviceArray<T> pulled(this->stream, gradient);
    // Signs: both occur, each image and each probe has its own, and an image's follow from its number.
    const FlowProbe signs = {.basis = false, .number = 1};
    const Values v = probe_of(signs, counter);
    int positive = 0;
    for (const double sign : v) {
      ASSERT_EQ(std::fabs(sign), 1);
      positive += sign > 0;
    }
    EXPECT_NEAR(positive, n * size / 2.0, 3 * std::sqrt(n * size / 4.0));
    EXPECT_NE(Values(v.begin(), v.begin() + size), Values(v.begin() + size, v.begin() + 2 * size));
    EXPECT_NE(v, probe_of({.basis = false, .number = 2}, counter));
    SampleCounter later = counter;
    later.first += 1;
    const Values shifted = probe_of(signs, later);
    EXPECT_EQ(Values(shifted.begin(), shifted.begin() + size), Values(v.begin() + size, v.begin() + 2 * size));

    divergence.upload(Values(2 * n, 77));
    probe_divergence(this->stream, divergence.data() + 1, 2, pulled.data(), signs, at, counter, n, size);
    std::vector<double> got = divergence.raw();
    for (int i = 0; i < n; ++i) {
      double product = 0;
      for (int j = i * size; j < (i + 1) * size; ++j) product += v[j] * gradient[j];
      EXPECT_EQ(got[2 * i], 77) << "another probe's";
      EXPECT_NEAR(got[2 * i + 1], rows[i].from_x + rows[i].from_pred * rows[i].input_scale * product / size, 1e-13);
    }
    // Basis vectors: one number each, and the sum of all is the trace.
    Values diagonal(n, 0);
    for (int k = 0; k < size; ++k) {
      const FlowProbe basis = {.basis = true, .number = k};
      const Values e = probe_of(basis, counter);
      for (int i = 0; i < n * size; ++i) ASSERT_EQ(e[i], i % size == k ? 1 : 0);
      probe_divergence(this->stream, divergence.data(), 2, pulled.data(), basis, at, counter, n, size);
      for (int i = 0; i < n; ++i) diagonal[i] += gradient[i * size + k];
    }
    got = divergence.raw();
    for (int i = 0; i < n; ++i)
      EXPECT_NEAR(got[2 * i], rows[i].from_x + rows[i].from_pred * rows[i].input_scale * diagonal[i] / size, 1e-13);
  }
}

}  // namespace
}  // namespace ito::test
