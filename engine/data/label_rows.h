// SPDX-License-Identifier: Apache-2.0
// Real-valued labels from a file, for images that are drawn: a row of numbers an image.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ito {

// (M, width), of a safetensors file whose tensor `labels` is (M, width), or (M) for a width of 1. UserError for another
// shape, no row, and numbers that are not finite.
std::vector<float> read_label_rows(const std::string& path, int64_t width);

}  // namespace ito
