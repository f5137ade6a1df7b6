// SPDX-License-Identifier: Apache-2.0
// Everything drawn from the counter: the generator, normals and their distribution, timesteps, the forward process and
// dropout. A draw must depend on seed, element, step and sample index alone.
#include "kernels/diffusion/noising.h"
#include "kernels/nn/dropout.h"
#include "tests/cases/pointwise.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
// radius <= sqrt(2 ln 2^24) = 5.77. Its ln, root and product err by a few u of it, sin and cos by 3e-7 absolute.
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);

// The published vectors of Philox4x32-10 (Random123's kat_vectors).
TEST(Philox, KnownAnswers) {
  const Random4 zero = philox4x32(0, 0, 0, 0, 0), ones = philox4x32(~0ull, ~0u, ~0u, ~0u, ~0u);
  const uint32_t want_zero[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const uint32_t want_ones[] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(zero.v[i], want_zero[i]);
    EXPECT_EQ(ones.v[i], want_ones[i]);
  }
}

TEST(FillNormal, MatchesFp64BoxMuller) {
  Stream stream;
  const uint32_t purpose = purpose_word(Purpose::InitialNoise);
  for (int64_t row : cases::kImageElements) {
    const int n = 3;
    DeviceArray<float> out(stream, n * row);
    SampleCounter counter;
    counter.seed = 0x123456789ABCDEFull;
    counter.first = 0xFFFFFFFEll;  // the sample index wraps at 2^32
    fill_normal(stream, out, counter, purpose, n, row);
    expect_close(join_text("row ", row), out.values(), ref::normals(counter.seed, 0, 0xFFFFFFFEu, purpose, n, row), 0,
                 kNormalError);
  }
}

TEST(FillNormal, CounterSaysWhichDraw) {
  Stream stream;
  const int64_t row = 37;
  const uint32_t purpose = purpose_word(Purpose::ReverseNoise);
  DeviceArray<int64_t> step(stream, Values{5}), first(stream, Values{100});
  DeviceArray<float> out(stream, 2 * row), one(stream, row);

  SampleCounter training;  // the index says it all
  training.seed = 9, training.step = step, training.samples_per_step = 64, training.first = 3;
  fill_normal(stream, out, training, purpose, 2, row);
  expect_close("training", out.values(), ref::normals(9, 0, 3 + 5 * 64, purpose, 2, row), 0, kNormalError);

  SampleCounter sampling;  // the step is a word of its own
  sampling.seed = 9, sampling.step = step, sampling.first = 7, sampling.first_on_device = first;
  sampling.counter_uses_step = true;
  fill_normal(stream, out, sampling, purpose, 2, row);
  expect_close("sampling", out.values(), ref::normals(9, 5, 107, purpose, 2, row), 0, kNormalError);

  sampling.first += 1;  // image 1 alone has the bits it had in the batch
  fill_normal(stream, one, sampling, purpose, 1, row);
  EXPECT_EQ(one.bits(), out.bits().substr(row * sizeof(float)));
}

// 2^20 draws. Each bound is five standard deviations of the statistic under the hypothesis (2e-6 false alarms, and the
// draws are fixed): mean 1/M, variance 2/M, third moment 15/M, fourth 96/M, a product of two independent ones 1/M.
// Kolmogorov-Smirnov: P(sqrt(M) D > 2.3) = 5e-5.
TEST(FillNormal, IsNormal) {
  Stream stream;
  const int64_t m = 1 << 20;
  const int n = 16;
  DeviceArray<float> out(stream, m);
  SampleCounter counter;
  counter.seed = 2024;
  fill_normal(stream, out, counter, purpose_word(Purpose::Noise), n, m / n);
  Values z = out.values();
  double moment[5] = {}, product[4][4] = {};
  for (int64_t i = 0; i < m; ++i) {
    double power = 1;
    for (int k = 1; k <= 4; ++k) moment[k] += (power *= z[i]) / m;
    for (int j = 0; j < i % 4; ++j) product[i % 4][j] += z[i] * z[i - i % 4 + j] / (m / 4);
  }
  const double root = std::sqrt(static_cast<double>(m));
  EXPECT_NEAR(moment[1], 0, 5 / root);
  EXPECT_NEAR(moment[2], 1, 5 * std::sqrt(2.0) / root);
  EXPECT_NEAR(moment[3], 0, 5 * std::sqrt(15.0) / root);
  EXPECT_NEAR(moment[4], 3, 5 * std::sqrt(96.0) / root);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) EXPECT_NEAR(product[i][j], 0, 10 / root) << i << " with " << j;
  }
  std::sort(z.begin(), z.end());
  double distance = 0;
  for (int64_t i = 0; i < m; ++i) {
    const double p = 0.5 * std::erfc(-z[i] / std::sqrt(2.0));
    distance = std::max({distance, p - static_cast<double>(i) / m, static_cast<double>(i + 1) / m - p});
  }
  EXPECT_LT(distance * root, 2.3);
}

TEST(DrawTimesteps, AreUniformAndIndexed) {
  Stream stream;
  const int n = 20000, steps = 10;
  DeviceArray<int32_t> t(stream, n);
  DeviceArray<float> t_float(stream, n);
  SampleCounter counter;
  counter.seed = 77, counter.first = 1000;
  draw_timesteps(stream, t, t_float, counter, n, steps);
  Values count(steps, 0.0), got = t.values();
  for (int i = 0; i < n; ++i) {
    const Random4 r = philox4x32(77, 0, 0, 1000 + static_cast<uint32_t>(i), purpose_word(Purpose::Timestep));
    ASSERT_EQ(got[i], static_cast<double>(uniform_below(r.v[0], steps)));
    count[static_cast<size_t>(got[i])] += 1;
  }
  EXPECT_EQ(t_float.values(), got);
  double chi2 = 0;
  for (double c : count) chi2 += (c - n / steps) * (c - n / steps) / (n / steps);
  EXPECT_LT(chi2, 33.7);  // nine degrees of freedom, p = 1e-4
  draw_timesteps(stream, t, nullptr, counter, n, steps);
  EXPECT_EQ(t.values(), got);
}

template <class T>
class SampleNoise : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(SampleNoise, StorageTypes);

TYPED_TEST(SampleNoise, AddNoise) {
  using T = TypeParam;
  const Values signal = stored<float>({0.999, 0.7, 0.01}), noise = stored<float>({0.04, 0.71, 0.99995});
  const Values t = {2, 0, 1};
  DeviceArray<float> device_signal(this->stream, signal), device_noise(this->stream, noise);
  DeviceArray<int32_t> device_t(this->stream, t);
  const NoiseTables tables{device_signal, device_noise, 3};
  for (int64_t row : cases::kImageElements) {
    const int n = 3;
    const Values x0 = stored<float>(random_values(n * row, 1));
    DeviceArray<float> device_x0(this->stream, x0);
    DeviceArray<T> x_t(this->stream, n * row), alone(this->stream, row);
    SampleCounter counter;
    counter.seed = 3, counter.first = 41;
    add_noise(this->stream, x_t.data(), device_x0, device_t, counter, tables, n, row);
    const Values eps = ref::normals(3, 0, 41, purpose_word(Purpose::Noise), n, row);
    Values want(n * row), size(n * row);
    for (size_t i = 0; i < want.size(); ++i) {
      const size_t step = static_cast<size_t>(t[i / row]);
      want[i] = signal[step] * x0[i] + noise[step] * eps[i];
      size[i] =
          2 * u * (std::fabs(signal[step] * x0[i]) + std::fabs(noise[step] * eps[i])) + kNormalError * noise[step];
    }
    expect_close(join_text("row ", row), x_t.values(), want, kRound<T>, 1, size);
    counter.first += 2;
    add_noise(this->stream, alone.data(), device_x0 + 2 * row, device_t + 2, counter, tables, 1, row);
    EXPECT_EQ(alone.bits(), x_t.bits().substr(2 * row * sizeof(T)));
  }
}

TYPED_TEST(SampleNoise, DropoutMaskIsTheCounters) {
  using T = TypeParam;
  const float p = 0.3f;
  for (int64_t row : cases::kImageElements) {
    const int n = 2;
    const Values x = stored<T>(random_values(n * row, 2, 1.0, 5.0));
    DeviceArray<T> device_x(this->stream, x), y(this->stream, n * row), other(this->stream, n * row);
    SampleCounter counter;
    counter.seed = 8, counter.first = 12;
    const DropoutShape shape{n, row, p, 6};
    dropout(this->stream, y.data(), Write::Set, device_x.data(), counter, shape);
    Values want(x.size());
    double kept = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t e = static_cast<int64_t>(i) % row;
      const Random4 r = philox4x32(8, static_cast<uint32_t>(e / 4), 0, 12 + static_cast<uint32_t>(i / row),
                                   purpose_word(Purpose::Dropout, 6));
      const bool keep = uniform01(r.v[e % 4]) >= p;
      kept += keep;
      want[i] = keep ? x[i] / (1.0 - p) : 0.0;
    }
    expect_close(join_text("row ", row), y.values(), want, 4 * u + kRound<T>, 0);
    if (x.size() > 1000) {  // five standard deviations of a binomial
      EXPECT_NEAR(kept / x.size(), 1 - p, 5 * std::sqrt(p * (1 - p) / x.size()));
      dropout(this->stream, other.data(), Write::Set, device_x.data(), counter, {n, row, p, 7});
      EXPECT_NE(other.bits(), y.bits()) << "two layers share a mask";
    }
    dropout(this->stream, y.data(), Write::Add, device_x.data(), counter, shape);
    for (double& v : want) v *= 2;  // twice the same: exact but for the rounding of T before it
    expect_close("added", y.values(), want, 5 * u + 2 * kRound<T>, 0);
  }
}

TEST(SampleNoiseErrors, NameWhatIsWrong) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  EXPECT_THROW(dropout(stream, x.data(), Write::Set, x.data(), {}, {1, 4, 1.0f, 0}), Error);
  EXPECT_THROW(add_noise(stream, x.data(), x, nullptr, {}, {}, 1, 4), Error);
  EXPECT_THROW(draw_timesteps(stream, nullptr, nullptr, {}, 1, 0), Error);
}

}  // namespace
}  // namespace ito::test
