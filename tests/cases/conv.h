// SPDX-License-Identifier: Apache-2.0
// Convolutions: ragged sizes, strides and one-sided paddings, and the small UNets' own.
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

}  // namespace ito::cases
