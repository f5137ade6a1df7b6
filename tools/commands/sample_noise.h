// SPDX-License-Identifier: Apache-2.0
// The noise of ito sample where it does not come from the counter: files, or PyTorch's generator.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/layout.h"
#include "engine/ranks/subtrees.h"
#include "engine/samplers/row_builder.h"

namespace ito {

struct NoiseOptions {
  std::string source = "philox";         // --noise
  std::string initial_file, steps_file;  // --initial-noise, --step-noise
};

// Of a run of images. Both (.., H, W, C); empty: from the counter.
struct SampleNoise {
  std::vector<float> initial;  // (images, H, W, C)
  std::vector<float> steps;    // (draws, images, H, W, C)
  int64_t draws = 0;
};

// What needs no model.
void check_noise_options(const NoiseOptions& options, int64_t first);
// By the table. PyTorch's generator draws for all `count` images, one tensor after the other, and a file holds all, so
// that all are gone through, and kept those of `own`. memory_limit in bytes: UserError if the noise alone would need
// more.
SampleNoise sample_noise(const NoiseOptions& options, const ReverseTable& table, const ImageShape& image, int64_t count,
                         const IndexRange& own, uint64_t seed, size_t memory_limit);

}  // namespace ito
