// SPDX-License-Identifier: Apache-2.0
// See kernels_of_blur.h.
#include "engine/inverse/operators/kernels_of_blur.h"

#include <cmath>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

BlurKernel normalised(BlurKernel kernel) {
  double sum = 0;
  for (const double tap : kernel.taps) sum += tap;
  for (double& tap : kernel.taps) tap /= sum;
  return kernel;
}

// exp(-2 pi i k / length), k reduced first, so that large ones lose nothing.
std::complex<double> root(int64_t k, int length) {
  return std::polar(1.0, -2 * M_PI * static_cast<double>(k % length) / length);
}

}  // namespace

BlurKernel gaussian_kernel(double sd, int rows, int columns) {
  BlurKernel kernel{rows, columns, {}};
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      const double y = (i - rows / 2) / sd, x = (j - columns / 2) / sd;
      kernel.taps.push_back(std::exp(-(y * y + x * x) / 2));
    }
  return normalised(std::move(kernel));
}

BlurKernel motion_kernel(double length, double degrees) {
  // One more than the segment's end reaches.
  const int half = static_cast<int>(std::ceil(length / 2)), side = 2 * half + 1;
  BlurKernel kernel{side, side, std::vector<double>(static_cast<size_t>(side) * static_cast<size_t>(side), 0.0)};
  const double angle = degrees * M_PI / 180, right = std::cos(angle), down = -std::sin(angle);
  const int points = 100 * side + 1;
  const auto add = [&](int row, int column, double weight) {
    if (row >= 0 && row < side && column >= 0 && column < side)
      kernel.taps[static_cast<size_t>(int64_t{1} * row * side + column)] += weight;
  };
  for (int p = 0; p < points; ++p) {
    const double along = length * (p / (points - 1.0) - 0.5);
    const double y = half + along * down, x = half + along * right;
    const int row = static_cast<int>(std::floor(y)), column = static_cast<int>(std::floor(x));
    const double below = y - row, beside = x - column;
    add(row, column, (1 - below) * (1 - beside));
    add(row, column + 1, (1 - below) * beside);
    add(row + 1, column, below * (1 - beside));
    add(row + 1, column + 1, below * beside);
  }
  return normalised(std::move(kernel));
}

BlurKernel uniform_kernel(int side) {
  return normalised({side, side, std::vector<double>(static_cast<size_t>(side) * static_cast<size_t>(side), 1.0)});
}

BlurKernel kernel_of_file(const std::string& text, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("kernel"), text, ": the file holds no tensor \"kernel\"");
  const std::vector<int64_t> shape = file.entry("kernel").shape;
  ITO_USER_CHECK(shape.size() == 2 && shape[0] > 0 && shape[1] > 0 && shape[0] <= INT32_MAX && shape[1] <= INT32_MAX,
                 text, ": its kernel has ", shape.size(), " dimensions; expected rows and columns");
  BlurKernel kernel{static_cast<int>(shape[0]), static_cast<int>(shape[1]), {}};
  bool any = false;
  for (const float tap : file.read_f32("kernel")) {
    ITO_USER_CHECK(std::isfinite(tap), text, ": its kernel holds ", tap, "; expected finite numbers");
    any = any || tap != 0;
    kernel.taps.push_back(tap);
  }
  ITO_USER_CHECK(any, text, ": its kernel is all zeros, which leaves nothing of the image");
  return kernel;
}

std::vector<std::complex<double>> transfer_of(const BlurKernel& kernel, const ImageShape& image) {
  using Complex = std::complex<double>;
  const int height = image.height, width = image.width;
  std::vector<Complex> row_roots, column_roots;
  for (int k = 0; k < height; ++k) row_roots.push_back(root(k, height));
  for (int k = 0; k < width; ++k) column_roots.push_back(root(k, width));
  std::vector<Complex> transfer(static_cast<size_t>(image.pixels()));
  for (int i = 0; i < kernel.rows; ++i) {
    // Of one row of the kernel, then to all frequencies of the other axis.
    std::vector<Complex> row(static_cast<size_t>(width));
    for (int v = 0; v < width; ++v)
      for (int j = 0; j < kernel.columns; ++j) {
        const int64_t place = (j - kernel.columns / 2 + width) % width;
        row[static_cast<size_t>(v)] += kernel.taps[static_cast<size_t>(int64_t{1} * i * kernel.columns + j)] *
                                       column_roots[static_cast<size_t>(place * v % width)];
      }
    const int64_t place = (i - kernel.rows / 2 + height) % height;
    for (int u = 0; u < height; ++u) {
      const Complex turn = row_roots[static_cast<size_t>(place * u % height)];
      for (int v = 0; v < width; ++v)
        transfer[static_cast<size_t>(int64_t{1} * u * width + v)] += row[static_cast<size_t>(v)] * turn;
    }
  }
  return transfer;
}

}  // namespace ito
