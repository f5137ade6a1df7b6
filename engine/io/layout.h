// SPDX-License-Identifier: Apache-2.0
// How large an image is, and the two orders of its numbers: files hold planes (N, C, H, W), the engine holds a pixel's
// channels together (N, H, W, C).
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

struct ImageShape {
  int height = 0, width = 0, channels = 0;
  int64_t pixels() const { return int64_t{1} * height * width; }
  int64_t size() const { return pixels() * channels; }  // numbers
  bool operator==(const ImageShape&) const = default;
};

// n images, either way.
std::vector<float> to_planar(const std::vector<float>& interleaved, int64_t n, const ImageShape& image);
std::vector<float> to_interleaved(const std::vector<float>& planar, int64_t n, const ImageShape& image);

}  // namespace ito
