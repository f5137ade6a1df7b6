// SPDX-License-Identifier: Apache-2.0
// How large an image is, and the two orders of its numbers: files hold planes (N, C, H, W), the engine holds a pixel's
// channels together (N, H, W, C).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ito {

struct ImageShape {
  int height = 0, width = 0, channels = 0;
  int64_t pixels() const { return int64_t{1} * height * width; }
  int64_t size() const { return pixels() * channels; }  // numbers
  bool operator==(const ImageShape&) const = default;
};

// Each of n matrices of rows x columns, row by row, becomes columns x rows.
template <class T>
std::vector<T> transposed(const std::vector<T>& from, int64_t n, int64_t rows, int64_t columns) {
  std::vector<T> to(from.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        to[static_cast<size_t>((i * columns + column) * rows + row)] =
            from[static_cast<size_t>((i * rows + row) * columns + column)];
  return to;
}

// n images, either way.
std::vector<float> to_planar(const std::vector<float>& interleaved, int64_t n, const ImageShape& image);
std::vector<float> to_interleaved(const std::vector<float>& planar, int64_t n, const ImageShape& image);

}  // namespace ito
