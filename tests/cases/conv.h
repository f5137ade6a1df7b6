// SPDX-License-Identifier: Apache-2.0
// Convolutions: ragged sizes, strides and one-sided paddings, the small UNets' own, jit-tiny's patches; shared by tests
// and benches, which add larger models' layers.
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
          {{7, 7, 64, 64, 3, 3, 1, 1, 1, 1, 1}, 1},  {{14, 14, 32, 64, 3, 3, 2, 0, 0, 1, 1}, 1},
          {{28, 28, 1, 16, 4, 4, 4, 0, 0, 0, 0}, 2}};
}

// Too large for the tests' loops, n images: ddpm-cifar10's; the patches of jit-b-16 and dit-xl-2, and products of their
// tokens.
inline std::vector<ConvCase> model_conv_cases(int n) {
  return {{{32, 32, 3, 128, 3, 3, 1, 1, 1, 1, 1}, n},      {{32, 32, 128, 128, 3, 3, 1, 1, 1, 1, 1}, n},
          {{32, 32, 128, 128, 3, 3, 2, 0, 0, 1, 1}, n},    {{16, 16, 256, 256, 3, 3, 1, 1, 1, 1, 1}, n},
          {{16, 16, 256, 256, 1, 1, 1, 0, 0, 0, 0}, n},    {{8, 8, 512, 256, 3, 3, 1, 1, 1, 1, 1}, n},
          {{256, 256, 3, 128, 16, 16, 16, 0, 0, 0, 0}, n}, {{32, 32, 3, 1152, 2, 2, 2, 0, 0, 0, 0}, n},
          {{16, 16, 768, 4096, 1, 1, 1, 0, 0, 0, 0}, n},   {{16, 16, 1152, 4608, 1, 1, 1, 0, 0, 0, 0}, n}};
}

}  // namespace ito::cases
