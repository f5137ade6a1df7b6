// SPDX-License-Identifier: Apache-2.0
// See image_scores.h. The window is a product of two, one along each axis, so that its means are two passes.
#include "engine/evaluate/image_scores.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr double kRange = 2, kC1 = 0.01 * kRange * 0.01 * kRange, kC2 = 0.03 * kRange * 0.03 * kRange;
constexpr double kWindowDeviation = 1.5;
constexpr int kWindow = 11;

struct Plane {
  int height = 0, width = 0;
  std::vector<double> values;
};

// Its weights, whose sum is 1.
std::vector<double> window_of(int length) {
  const int taps = length >= kWindow ? kWindow : (length - 1) / 2 * 2 + 1;
  std::vector<double> weights;
  double sum = 0;
  for (int i = 0; i < taps; ++i) {
    const double from_centre = i - (taps - 1) / 2;
    weights.push_back(std::exp(-from_centre * from_centre / (2 * kWindowDeviation * kWindowDeviation)));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// The window's mean at every place where it fits.
Plane smoothed(const Plane& from, const std::vector<double>& down, const std::vector<double>& across) {
  const int taps_down = static_cast<int>(down.size()), taps_across = static_cast<int>(across.size());
  Plane rows{from.height, from.width - taps_across + 1, {}};
  for (int y = 0; y < rows.height; ++y)
    for (int x = 0; x < rows.width; ++x) {
      double sum = 0;
      for (int i = 0; i < taps_across; ++i)
        sum += across[static_cast<size_t>(i)] * from.values[static_cast<size_t>(y) * from.width + x + i];
      rows.values.push_back(sum);
    }
  Plane all{from.height - taps_down + 1, rows.width, {}};
  for (int y = 0; y < all.height; ++y)
    for (int x = 0; x < all.width; ++x) {
      double sum = 0;
      for (int i = 0; i < taps_down; ++i)
        sum += down[static_cast<size_t>(i)] * rows.values[static_cast<size_t>(y + i) * rows.width + x];
      all.values.push_back(sum);
    }
  return all;
}

// Of channels c of a and d of b, the products of their numbers.
Plane product(const float* a, const float* b, const ImageShape& image, int c) {
  Plane plane{image.height, image.width, {}};
  for (int64_t p = 0; p < image.pixels(); ++p)
    plane.values.push_back(static_cast<double>(a[p * image.channels + c]) * (b ? b[p * image.channels + c] : 1));
  return plane;
}

}  // namespace

double psnr(const float* a, const float* b, int64_t count) {
  ITO_CHECK(count > 0, "PSNR of ", count, " numbers");
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    squares += difference * difference;
  }
  return squares > 0 ? 10 * std::log10(kRange * kRange * static_cast<double>(count) / squares) : HUGE_VAL;
}

double ssim(const float* a, const float* b, const ImageShape& image) {
  ITO_CHECK(image.size() > 0, "SSIM of images without numbers");
  const std::vector<double> down = window_of(image.height), across = window_of(image.width);
  double sum = 0;
  int64_t places = 0;
  for (int c = 0; c < image.channels; ++c) {
    const auto mean = [&](const float* x, const float* y) { return smoothed(product(x, y, image, c), down, across); };
    const Plane ma = mean(a, nullptr), mb = mean(b, nullptr), maa = mean(a, a), mbb = mean(b, b), mab = mean(a, b);
    for (size_t i = 0; i < ma.values.size(); ++i) {
      const double x = ma.values[i], y = mb.values[i];
      const double xx = maa.values[i] - x * x, yy = mbb.values[i] - y * y, xy = mab.values[i] - x * y;
      sum += (2 * x * y + kC1) * (2 * xy + kC2) / ((x * x + y * y + kC1) * (xx + yy + kC2));
    }
    places += static_cast<int64_t>(ma.values.size());
  }
  return sum / static_cast<double>(places);
}

}  // namespace ito
