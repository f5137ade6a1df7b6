// SPDX-License-Identifier: Apache-2.0
// Linear layers of rows: ragged ones, those of the small UNets, and what makes a block's shifts, scales and gates in
// jit-tiny.
#pragma once
#include <vector>

#include "kernels/nn/linear.h"

namespace ito::cases {

inline std::vector<LinearShape> linear_shapes() {
  return {{1, 1, 1, false},    {3, 5, 7, true},     {9, 17, 129, true},  {6, 32, 128, false}, {10, 128, 128, true},
          {5, 128, 256, true}, {9, 200, 150, true}, {70, 20, 10, false}, {2, 128, 768, true}};
}

// n times the time's embedding of ddpm-cifar10, its projections in residual blocks, a block's rows of jit-b-16 and
// dit-xl-2.
inline std::vector<LinearShape> model_linear_shapes(int n) {
  return {{n, 128, 512, false}, {n, 512, 512, true},  {n, 512, 128, true},
          {n, 512, 256, true},  {n, 768, 4608, true}, {n, 1152, 6912, true}};
}

}  // namespace ito::cases
