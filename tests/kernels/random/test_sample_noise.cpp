// SPDX-License-Identifier: Apache-2.0
// What is drawn from the counter: the generator, normals and their distribution, and dropout. A draw must depend on
// seed, element, step and sample index alone.
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

  SampleCounter sampling = SampleCounter::of_sampling(9, first);
  sampling.first = 7;
  fill_normal(stream, out, sampling, purpose, 2, row);
  expect_close("sampling", out.values(), ref::normals(9, 0, 107, purpose, 2, row), 0, kNormalError);

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

template <class T>
class SampleNoise : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(SampleNoise, StorageTypes);

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
  EXPECT_THROW(fill_normal(stream, x, {}, purpose_word(Purpose::Noise), 1, 0), Error);
}

}  // namespace
}  // namespace ito::test
