// SPDX-License-Identifier: Apache-2.0
// What is made of the drawn numbers for the eye and for others' programs: bytes, a grid of them, an archive.
#pragma once
#include <string>

#include "tools/commands/sample/sample_file.h"

namespace ito {

void write_grid(const std::string& path, const SampleFile& samples, int64_t most);  // of the first, `most` at most
// As guided-diffusion's evaluator reads samples: `arr_0`, bytes (N, H, W, C), and the labels as `arr_1`. A piece of
// them is in memory at a time.
void write_npz_samples(const std::string& path, const SampleFile& samples);

}  // namespace ito
