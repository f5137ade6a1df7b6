// SPDX-License-Identifier: Apache-2.0
// Convolutions: ragged sizes, strides and one-sided paddings, and the small UNets' own; shared by tests and benches,
// which add larger models' layers.
#pragma once
#include <vector>

#include "kernels/seams/conv.h"

namespace ito::cases {

struct ConvCase {
  ConvShape shape;
  int n;
};

// {h, w, c, k, r, s, stride, pad top, left, bottom, right}
inline std::vector<ConvCase> conv_cases() {
  return {{{5, 7, 3, 4, 3, 3, 1, 1, 1, 1, 1}, 2},    {{6, 5, 9, 7, 3, 3, 2, 0, 0, 1, 1}, 5},
          {{8, 8, 16, 5, 1, 1, 1, 0, 0, 0, 0}, 3},   {{7, 6, 18, 3, 2, 3, 2, 1, 2, 0, 1}, 6},
          {{28, 28, 1, 32, 3, 3, 1, 1, 1, 1, 1}, 1}, {{14, 14, 32, 32, 3, 3, 1, 1, 1, 1, 1}, 1},
          {{7, 7, 64, 64, 3, 3, 1, 1, 1, 1, 1}, 1},  {{14, 14, 32, 64, 3, 3, 2, 0, 0, 1, 1}, 1}};
}

// ddpm-cifar10's, too large for the tests' loops; n images.
inline std::vector<ConvCase> model_conv_cases(int n) {
  return {{{32, 32, 3, 128, 3, 3, 1, 1, 1, 1, 1}, n},   {{32, 32, 128, 128, 3, 3, 1, 1, 1, 1, 1}, n},
          {{32, 32, 128, 128, 3, 3, 2, 0, 0, 1, 1}, n}, {{16, 16, 256, 256, 3, 3, 1, 1, 1, 1, 1}, n},
          {{16, 16, 256, 256, 1, 1, 1, 0, 0, 0, 0}, n}, {{8, 8, 512, 256, 3, 3, 1, 1, 1, 1, 1}, n}};
}

}  // namespace ito::cases
