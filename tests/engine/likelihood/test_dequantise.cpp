// SPDX-License-Identifier: Apache-2.0
// Points within the bins of bytes: where they lie, how dense they are, whose they are.
#include "engine/likelihood/dequantise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/error.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

constexpr double kBin = 2.0 / 255;
constexpr int64_t kImages = 4, kSize = 2501;

std::vector<float> bytes() {
  std::vector<float> x;
  for (int64_t i = 0; i < kImages * kSize; ++i) x.push_back(static_cast<float>(i * 37 % 256) / 127.5f - 1.0f);
  return x;
}

// The shifts, in bins.
std::vector<double> shifts(const DequantisedImages& images) {
  const std::vector<float> x0 = bytes();
  std::vector<double> shifts;
  for (size_t i = 0; i < x0.size(); ++i) shifts.push_back((static_cast<double>(images.x[i]) - x0[i]) / kBin);
  return shifts;
}

double mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return sum / static_cast<double>(values.size());
}

TEST(Dequantise, NoneLeavesAll) {
  const std::vector<float> any = {0.123f, 7, -3, 0};
  const DequantisedImages images = dequantised(Dequantise::None, any, 2, 0, 0.01, 1, "data");
  EXPECT_EQ(images.x, any);
  EXPECT_EQ(images.log_q, (std::vector<double>{0, 0}));
}

TEST(Dequantise, UniformFillsTheBins) {
  const DequantisedImages images = dequantised(Dequantise::Uniform, bytes(), kImages, 0, 0.01, 1, "data");
  const std::vector<double> u = shifts(images);
  double sum = 0;
  for (const double v : u) {
    ASSERT_LE(std::fabs(v), 0.5 + 1e-4);
    sum += v;
  }
  const auto n = static_cast<double>(u.size());
  EXPECT_NEAR(sum / n, 0, 4 * std::sqrt(1 / (12 * n)));
  EXPECT_NEAR(mean_square(u), 1.0 / 12, 4 * std::sqrt(1 / (180 * n)));
  for (const double log_q : images.log_q) EXPECT_NEAR(log_q, -kSize * std::log(kBin), 1e-9);
}

// A narrow normal stands in the middle of its bin, a wide one is uniform; the density is the normal's over the share
// that lies within.
TEST(Dequantise, TruncatedNormalsAreNormalWithinTheBin) {
  for (const double s : {1e-3, 3e-3, 1.0}) {
    const DequantisedImages images = dequantised(Dequantise::TruncatedNormal, bytes(), kImages, 0, s, 1, "data");
    const std::vector<double> u = shifts(images);
    const double tau = kBin / (2 * s), inside = std::erf(tau / std::numbers::sqrt2);
    const double density = std::exp(-tau * tau / 2) / std::sqrt(2 * std::numbers::pi);
    const double variance = (1 - 2 * tau * density / inside) * s * s / (kBin * kBin);
    EXPECT_NEAR(mean_square(u) / variance, 1, 0.06) << s;  // 4 sigma of 10004 squares
    for (int64_t n = 0; n < kImages; ++n) {
      double log_q = 0;
      for (int64_t i = n * kSize; i < (n + 1) * kSize; ++i) {
        ASSERT_LE(std::fabs(u[i]), 0.5 + 1e-4);
        const double e = u[i] * kBin / s;
        log_q -= e * e / 2 + std::log(s * inside * std::sqrt(2 * std::numbers::pi));
      }
      EXPECT_NEAR(images.log_q[n] / log_q, 1, 1e-5);
    }
  }
}

TEST(Dequantise, AnImageIsAFunctionOfItsNumber) {
  const std::vector<float> x0 = bytes(), last(x0.end() - kSize, x0.end());
  for (const Dequantise kind : {Dequantise::Uniform, Dequantise::TruncatedNormal}) {
    const DequantisedImages all = dequantised(kind, x0, kImages, 10, 0.01, 1, "data");
    const DequantisedImages alone = dequantised(kind, last, 1, 13, 0.01, 1, "data");
    EXPECT_EQ(alone.x, std::vector<float>(all.x.end() - kSize, all.x.end()));
    EXPECT_EQ(alone.log_q[0], all.log_q[3]);
    EXPECT_NE(dequantised(kind, last, 1, 12, 0.01, 1, "data").x, alone.x);
    EXPECT_NE(dequantised(kind, last, 1, 13, 0.01, 2, "data").x, alone.x);
  }
}

TEST(Dequantise, Refusals) {
  EXPECT_EQ(user_error([] {
              dequantised(Dequantise::Uniform, {0, 0.5f}, 2, 7, 0.01, 1, "a.safetensors");
            }),
            "a.safetensors: image 7 holds 0, which is no byte v / 127.5 - 1; only bytes are dequantised");
  EXPECT_THROW(dequantised(Dequantise::Uniform, {257 / 127.5f - 1}, 1, 0, 0.01, 1, ""), UserError);
  EXPECT_EQ(user_error([] { dequantise_of("unifrom", "--dequantise"); }),
            "--dequantise: dequantise 'unifrom' is not known; use one of 'none', 'uniform', 'truncated-normal'; did "
            "you mean 'uniform'?");
  for (const Dequantise kind : {Dequantise::None, Dequantise::Uniform, Dequantise::TruncatedNormal})
    EXPECT_EQ(dequantise_of(name_of(kind), ""), kind);
}

}  // namespace
}  // namespace ito::test
