// SPDX-License-Identifier: Apache-2.0
// Samples from a file that ito or another program wrote.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "engine/io/layout.h"

namespace ito {

struct Samples {
  int64_t count = 0;
  ImageShape image;
  std::vector<float> images;  // (N, H, W, C), nominally in [-1, 1]
};

// safetensors with `samples` (N, C, H, W), floats; or .npz with `arr_0` (N, H, W, C), bytes. UserError for anything
// else, and for what does not fit into memory_limit bytes.
Samples read_samples(const std::string& path, size_t memory_limit);

}  // namespace ito
