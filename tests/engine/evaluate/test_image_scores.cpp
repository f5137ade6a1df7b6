// SPDX-License-Identifier: Apache-2.0
// PSNR and SSIM against closed forms, and SSIM against the window's sums as they are written down.
#include "engine/evaluate/image_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/random/philox.h"

namespace ito {
namespace {

std::vector<float> random_image(const ImageShape& image, uint32_t number) {
  std::vector<float> x(static_cast<size_t>(image.size()));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = 2 * uniform01(philox4x32(3, static_cast<uint32_t>(i), number, 0, 0).v[0]) - 1;
  return x;
}

TEST(ImageScores, PsnrOfAShiftIsItsSquare) {
  const ImageShape image{5, 7, 3};
  const std::vector<float> a(static_cast<size_t>(image.size()), 0.25f);
  std::vector<float> b = a;
  EXPECT_EQ(psnr(a.data(), b.data(), image.size()), HUGE_VAL);
  for (float& v : b) v += 0.5f;  // exact in binary: 10 log10(4 / 0.25)
  EXPECT_NEAR(psnr(a.data(), b.data(), image.size()), 10 * std::log10(16.0), 1e-12);
  b = a;
  b[3] -= 1;  // one number of 105
  EXPECT_NEAR(psnr(a.data(), b.data(), image.size()), 10 * std::log10(4.0 * 105), 1e-12);
  // The whole range.
  const std::vector<float> black(static_cast<size_t>(image.size()), -1.0f), white(black.size(), 1.0f);
  EXPECT_NEAR(psnr(black.data(), white.data(), image.size()), 0, 1e-12);
}

TEST(ImageScores, SsimOfAnImageWithItselfIsOne) {
  for (const ImageShape image : {ImageShape{16, 13, 3}, {11, 11, 1}, {4, 20, 1}, {1, 1, 2}, {2, 3, 1}}) {
    const std::vector<float> a = random_image(image, 1);
    EXPECT_NEAR(ssim(a.data(), a.data(), image), 1, 1e-12) << image.height << " x " << image.width;
  }
}

// Without variance only the means are left: (2 m n + c1) / (m^2 + n^2 + c1).
TEST(ImageScores, SsimOfConstantImages) {
  constexpr double kC1 = 0.02 * 0.02;
  for (const ImageShape image : {ImageShape{16, 12, 1}, {3, 3, 3}}) {
    const std::vector<float> a(static_cast<size_t>(image.size()), 0.5f), b(a.size(), -0.25f), c(a.size(), 0.0f);
    EXPECT_NEAR(ssim(a.data(), b.data(), image), (2 * 0.5 * -0.25 + kC1) / (0.25 + 0.0625 + kC1), 1e-10);
    EXPECT_NEAR(ssim(a.data(), c.data(), image), kC1 / (0.25 + kC1), 1e-10);
  }
}

// With a mean of 0, b = -a turns the sign of the covariance alone. The window is as wide as the image.
TEST(ImageScores, SsimOfTheOpposite) {
  constexpr double kC2 = 0.06 * 0.06;
  const ImageShape image{1, 3, 1};
  const double edge = std::exp(-1 / (2 * 1.5 * 1.5)), sum = 1 + 2 * edge;
  const std::vector<float> a{0.5f, 0.0f, -0.5f}, b{-0.5f, 0.0f, 0.5f};
  const double variance = 2 * edge / sum * 0.25;
  const double opposite = (-2 * variance + kC2) / (2 * variance + kC2);
  EXPECT_NEAR(ssim(a.data(), b.data(), image), opposite, 1e-12);
  // Four pixels have two places for a window of three.
  const std::vector<float> more{0.5f, 0.0f, -0.5f, 0.5f}, other{-0.5f, 0.0f, 0.5f, -0.5f};
  const double mean = edge * 0.5 / sum - 0.5 / sum, square = (0.25 + edge * 0.25) / sum, own = square - mean * mean;
  const double second = (-2 * mean * mean + 0.0004) * (-2 * own + kC2) / ((2 * mean * mean + 0.0004) * (2 * own + kC2));
  EXPECT_NEAR(ssim(more.data(), other.data(), {1, 4, 1}), (opposite + second) / 2, 1e-12);
}

TEST(ImageScores, SsimIsTheWindowsSums) {
  const ImageShape image{13, 15, 2};
  const std::vector<float> a = random_image(image, 1), b = random_image(image, 2);
  double weights[11][11], total = 0;
  for (int i = 0; i < 11; ++i)
    for (int j = 0; j < 11; ++j)
      total += weights[i][j] = std::exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
  double sum = 0;
  for (int c = 0; c < 2; ++c)
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 5; ++x) {
        double ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
        const auto each = [&](const auto& use) {
          for (int i = 0; i < 11; ++i)
            for (int j = 0; j < 11; ++j) {
              const size_t at = static_cast<size_t>(((y + i) * image.width + x + j) * 2 + c);
              use(weights[i][j] / total, a[at], b[at]);
            }
        };
        each([&](double w, double p, double q) { ma += w * p, mb += w * q; });
        each([&](double w, double p, double q) {
          va += w * (p - ma) * (p - ma), vb += w * (q - mb) * (q - mb), cov += w * (p - ma) * (q - mb);
        });
        const double c1 = 0.0004, c2 = 0.0036;
        sum += (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
      }
  EXPECT_NEAR(ssim(a.data(), b.data(), image), sum / 30, 1e-12);
}

}  // namespace
}  // namespace ito
