// SPDX-License-Identifier: Apache-2.0
// Table look-up with its gradient, and the two timestep features against fp64 and against PyTorch's numbers.
#include "kernels/nn/embedding.h"

#include "kernels/diffusion/timestep_embedding.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

TEST(Embedding, CopiesRowsAndMarksAbsentOnes) {
  Stream stream;
  const int rows = 5, d = 70;
  const Values table = stored<float>(random_values(rows * d, 1)), index = {4, 0, -1, 5, 2};
  DeviceArray<float> device_table(stream, table), y(stream, index.size() * d);
  DeviceArray<int32_t> device_index(stream, index);
  embedding_forward(stream, y, device_table, device_index, 5, rows, d);
  const Values got = y.values();
  for (int n = 0; n < 5; ++n) {
    for (int j = 0; j < d; ++j) {
      if (index[n] >= 0 && index[n] < rows)
        ASSERT_EQ(got[n * d + j], table[static_cast<size_t>(index[n]) * d + j]);
      else
        ASSERT_TRUE(std::isnan(got[n * d + j]));
    }
  }
}

// Most chunks have no row of their own for an index, which must not change the bits of the tree over all of them.
TEST(Embedding, GradientJoinsItsChunksByTheTree) {
  Stream stream;
  const int rows = 5, chunk = images_per_chunk(), n = 9 * chunk + 3;
  Values index(n, 4.0);  // row 2 is never looked up, 0 in two chunks far apart, 1 and 3 here and there
  for (int i = 0; i < n; ++i) index[i] = i % 7 == 3 ? 1 : i % 11 == 5 ? 3 : 4;
  index[2] = index[8 * chunk + 1] = 0;
  for (int d : {3, 256, 300}) {
    const Values dy = stored<float>(random_values(n * d, 2));
    DeviceArray<float> device_dy(stream, dy), dtable(stream, rows * d);
    DeviceArray<int32_t> device_index(stream, index);
    std::vector<std::vector<float>> chunks;
    for (int i = 0; i < n; i += chunk) {
      embedding_backward(stream, dtable, device_dy + i * d, device_index + i, std::min(chunk, n - i), rows, d);
      chunks.push_back(dtable.raw());
    }
    embedding_backward(stream, dtable, device_dy, device_index, n, rows, d);
    EXPECT_EQ(dtable.raw(), ref::tree_sum(chunks));
    Values want(rows * d, 0.0), size(rows * d, 0.0);
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < d; ++j) {
        const size_t to = static_cast<size_t>(index[i]) * d + j;
        want[to] += dy[i * d + j], size[to] += std::fabs(dy[i * d + j]);
      }
    }
    expect_close("dtable", dtable.values(), want, 0, (chunk + 4) * u, size);
  }
}

// Frequencies and angles rounded to fp32 where PyTorch rounds them, the functions in fp64. exp is taken to be the
// nearest fp32 number, which the kernel's double polynomial gives too; then only the last rounding (u) is left.
TEST(Sinusoid, MatchesFp64OfTheFp32Angle) {
  Stream stream;
  Values t = {0, 1, 2, 17, 250.5, 999, 1000};
  DeviceArray<float> device_t(stream, t);
  for (int c : {2, 7, 64, 130}) {
    for (const float shift : {0.0f, 0.5f}) {
      for (const bool flip : {false, true}) {
        DeviceArray<float> y(stream, t.size() * c);
        sinusoidal_embedding(stream, y, device_t, static_cast<int>(t.size()), c, shift, flip);
        const int half = c / 2;
        Values want(t.size() * c, 0.0);
        for (size_t n = 0; n < t.size(); ++n) {
          for (int i = 0; i < half; ++i) {
            const float exponent = static_cast<float>(-std::log(10000.0)) * i / (half - shift);
            const float frequency = static_cast<float>(std::exp(static_cast<double>(exponent)));
            const float angle = static_cast<float>(t[n]) * frequency;
            want[n * c + i + (flip ? half : 0)] = std::sin(static_cast<double>(angle));
            want[n * c + i + (flip ? 0 : half)] = std::cos(static_cast<double>(angle));
          }
        }
        expect_close(join_text("C ", c, " shift ", shift), y.values(), want, u, 1e-12);
      }
    }
  }
}

// What PyTorch 1.13 gives for diffusers' formula. Its fp32 exp may be one unit off the nearest number, which moves an
// angle t f by t f 2^-23: at most 1.2e-4 at t = 999.
TEST(Sinusoid, MatchesPyTorch) {
  Stream stream;
  const Values want = {0,
                       0,
                       0,
                       0,
                       1,
                       1,
                       1,
                       1,
                       0.8414709568023682,
                       0.04639922454953194,
                       0.0021544331684708595,
                       9.99999901978299e-05,
                       0.5403023362159729,
                       0.9989229440689087,
                       0.9999976754188538,
                       1,
                       -0.02646075189113617,
                       0.6848641633987427,
                       0.8356484770774841,
                       0.09973391145467758,
                       0.9996498227119446,
                       -0.7286707162857056,
                       -0.549264669418335,
                       0.9950141310691833};
  DeviceArray<float> t(stream, Values{0, 1, 999}), y(stream, 24);
  sinusoidal_embedding(stream, y, t, 3, 8, 1.0f, false);
  Values bound(24);
  for (int i = 0; i < 24; ++i)
    bound[i] = 2 * u + 2 * u * (i < 8 ? 0 : i < 16 ? 1 : 999) * std::pow(10.0, -4.0 * (i % 4) / 3);
  expect_within("torch", y.values(), want, bound);

  const Values flipped = {-0.9775396585464478,  -0.8547214269638062, 0.9785675406455994,  0.6112277507781982,
                          0.40215083956718445,  0.9690968990325928,  0.21075159311294556, 0.519087016582489,
                          -0.20592620968818665, -0.7914547920227051, 0.9155734181404114,  0.2466803640127182};
  DeviceArray<float> t2(stream, Values{537}), y2(stream, 12);
  sinusoidal_embedding(stream, y2, t2, 1, 12, 0.0f, true);
  Values bound2(12);
  for (int i = 0; i < 12; ++i) bound2[i] = 2 * u + 2 * u * 537 * std::pow(10.0, -4.0 * (i % 6) / 6);
  expect_within("torch, flipped", y2.values(), flipped, bound2);
}

// Angles reach 2 pi * 27.2 * ln 1348 = 1232; PyTorch's fp32 ln may be one unit off (t = 0.01, 1348), and so may the sum
// of the products' roundings: 2^-23 of the angle.
TEST(Fourier, MatchesPyTorch) {
  Stream stream;
  const Values weight = {8.0, -27.200000762939453, 0.4959999918937683, 1.0}, t = {0.01, 1.0, 1348.0};
  const Values want = {0.8397088050842285,
                       0.9977651834487915,
                       -0.9770485162734985,
                       0.6137524843215942,
                       0.543036937713623,
                       -0.06681809574365616,
                       -0.2130168378353119,
                       -0.789498507976532,
                       0,
                       0,
                       0,
                       0,
                       1,
                       1,
                       1,
                       1,
                       -0.8127754330635071,
                       -0.08456792682409286,
                       -0.4504227638244629,
                       0.9626728296279907,
                       -0.582577109336853,
                       0.9964177012443542,
                       -0.8928154110908508,
                       0.2706676721572876};
  DeviceArray<float> device_t(stream, t), w(stream, weight), y(stream, 24), flipped(stream, 24);
  fourier_embedding(stream, y, device_t, w, 3, 4, false);
  fourier_embedding(stream, flipped, device_t, w, 3, 4, true);
  Values bound(24);
  for (int i = 0; i < 24; ++i) {
    const double angle = std::fabs(std::log(t[i / 8]) * weight[i % 4] * 2 * M_PI);
    bound[i] = 2 * u + 2 * u * angle;
  }
  expect_within("torch", y.values(), want, bound);
  const Values plain = y.values(), swapped = flipped.values();
  for (int i = 0; i < 24; ++i) EXPECT_EQ(swapped[i], plain[i / 8 * 8 + (i + 4) % 8]);
}

TEST(TimestepsToIndex, AreWholeNumbers) {
  Stream stream;
  DeviceArray<float> t(stream, Values{0, 1, 999});
  DeviceArray<int32_t> index(stream, 3);
  timesteps_to_index(stream, index, t, 3);
  EXPECT_EQ(index.values(), (Values{0, 1, 999}));
}

}  // namespace
}  // namespace ito::test
