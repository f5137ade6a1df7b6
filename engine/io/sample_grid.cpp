// SPDX-License-Identifier: Apache-2.0
// See sample_grid.h.
#include "engine/io/sample_grid.h"

#include <algorithm>
#include <cmath>

namespace ito {

std::vector<uint8_t> to_bytes(std::span<const float> numbers) {
  std::vector<uint8_t> bytes;
  for (const float x : numbers)
    bytes.push_back(static_cast<uint8_t>(std::nearbyint(255.0f * std::clamp(0.5f * x + 0.5f, 0.0f, 1.0f))));
  return bytes;
}

Image to_picture(const uint8_t* bytes, const ImageShape& shape) {
  Image image(shape.height, shape.width, shape.channels == 1 ? 1 : 3);
  for (int64_t p = 0; p < shape.pixels(); ++p)
    for (int c = 0; c < image.channels; ++c)
      image.pixels[p * image.channels + c] = bytes[p * shape.channels + std::min(c, shape.channels - 1)];
  return image;
}

Image sample_grid(const std::vector<uint8_t>& bytes, int64_t count, const ImageShape& shape) {
  std::vector<Image> images;
  for (int64_t i = 0; i < count; ++i) images.push_back(to_picture(bytes.data() + i * shape.size(), shape));
  return image_grid(images, static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count)))), 2);
}

}  // namespace ito
