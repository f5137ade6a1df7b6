// SPDX-License-Identifier: Apache-2.0
// See layout.h.
#include "engine/io/layout.h"

namespace ito {

std::vector<float> to_planar(const std::vector<float>& interleaved, int64_t n, const ImageShape& image) {
  return transposed(interleaved, n, image.pixels(), image.channels);
}

std::vector<float> to_interleaved(const std::vector<float>& planar, int64_t n, const ImageShape& image) {
  return transposed(planar, n, image.channels, image.pixels());
}

}  // namespace ito
