// SPDX-License-Identifier: Apache-2.0
// LayerNorms and RMSNorms: ragged rows and widths, strips of each width, heads' own, jit-tiny's; shared by tests
// and benches.
#pragma once
#include <vector>

#include "kernels/nn/layer_norm.h"

namespace ito::cases {

struct LayerNormCase {
  int n, rows, c;
  bool centred, weight, bias, modulated;
  double mean;  // of x; large: cancellation
};

inline std::vector<LayerNormCase> layer_norm_cases() {
  return {{1, 1, 1, true, false, false, false, 0.0},   {2, 3, 7, true, true, true, true, 0.5},
          {3, 5, 33, false, true, false, true, 0.0},   {2, 9, 24, true, false, false, true, 20.0},
          {2, 70, 64, false, true, false, false, 1.0}, {1, 600, 32, true, true, true, false, 0.0},
          {2, 16, 160, true, false, false, true, 0.0}, {5, 2, 300, false, false, false, true, 0.3},
          {2, 53, 128, false, true, false, true, 0.0}};
}

// n images: tokens and heads of jit-b-16, tokens of dit-xl-2.
inline std::vector<LayerNormCase> model_layer_norm_cases(int n) {
  return {{n, 288, 768, false, true, false, true, 0.0},
          {n, 288 * 12, 64, false, true, false, false, 0.0},
          {n, 256, 1152, true, false, false, true, 0.0}};
}

}  // namespace ito::cases
