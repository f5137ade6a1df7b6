// SPDX-License-Identifier: Apache-2.0
// Finished images as pictures.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/io/image.h"
#include "engine/io/layout.h"

namespace ito {

// Of numbers in [-1, 1], as the device packs them (kernels/diffusion/pack.h).
std::vector<uint8_t> to_bytes(std::span<const float> numbers);
// bytes (H, W, C); one channel is grey, of two the second is shown twice, of more than three the first three are shown.
Image to_picture(const uint8_t* bytes, const ImageShape& shape);
// The first `count` of bytes (N, H, W, C), about as wide as high.
Image sample_grid(const std::vector<uint8_t>& bytes, int64_t count, const ImageShape& shape);

}  // namespace ito
