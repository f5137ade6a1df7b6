// SPDX-License-Identifier: Apache-2.0
// Shapes (N, HW, C) of the pointwise tests and benchmarks, and the row lengths where draws are four elements a call.
#pragma once
#include <cstdint>
#include <vector>

namespace ito::cases {

struct Rows {
  int n, hw, c;
  size_t elements() const { return static_cast<size_t>(n) * hw * c; }
};

inline const std::vector<Rows> kRows = {
    {1, 1, 1},    {3, 5, 7}, {2, 9, 33}, {5, 1, 300},  // ragged
    {2, 1030, 5},                                      // several runs of a sum, the last one short
    {9, 49, 64},                                       // a Fashion-MNIST network, more than one chunk of images
};

// Activations of n images in ddpm-cifar10.
inline std::vector<Rows> model_rows(int n) {
  return {{n, 1024, 128}, {n, 256, 256}};
}

// Elements an image: below a quad, ragged, a whole block, a block and a tail of three, a real image.
inline const std::vector<int64_t> kImageElements = {1, 3, 63, 4096, 4096 + 7, 784};

}  // namespace ito::cases
