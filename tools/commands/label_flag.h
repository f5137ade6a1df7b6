// SPDX-License-Identifier: Apache-2.0
// --labels: the real-valued labels that a network is told of images, numbers or a file.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/program/network.h"

namespace ito {

inline constexpr const char* kLabelsHelp =
    "of a model with real-valued labels: numbers with commas between, which images have in turn (of a model of several "
    "numbers an image, one image's), or a safetensors file with `labels` (M) or (M, numbers of an image)";

// (count, label_width), image i the row (first + i) modulo M. UserError where the network takes none, or other ones.
std::vector<float> label_values_of(const std::string& text, const Network& network, int64_t first, int64_t count);

}  // namespace ito
