// SPDX-License-Identifier: Apache-2.0
// See layout.h: the transposition between planes and pixels.
#include "engine/io/layout.h"

namespace ito {

std::vector<float> to_planar(const std::vector<float>& interleaved, int64_t n, const ImageShape& image) {
  std::vector<float> planar(interleaved.size());
  const int64_t pixels = image.pixels(), channels = image.channels;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c)
        planar[(i * channels + c) * pixels + p] = interleaved[(i * pixels + p) * channels + c];
  return planar;
}

std::vector<float> to_interleaved(const std::vector<float>& planar, int64_t n, const ImageShape& image) {
  std::vector<float> interleaved(planar.size());
  const int64_t pixels = image.pixels(), channels = image.channels;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c)
        interleaved[(i * pixels + p) * channels + c] = planar[(i * channels + c) * pixels + p];
  return interleaved;
}

}  // namespace ito
