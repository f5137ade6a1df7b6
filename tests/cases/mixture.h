// SPDX-License-Identifier: Apache-2.0
// Gaussian mixtures: one component and many, images of one number, of whole rows of 16 lanes, and ragged ones.
#pragma once
#include <vector>

#include "kernels/diffusion/mixture.h"

namespace ito::cases {

inline std::vector<MixtureShape> mixture_shapes() {
  return {{.n = 1, .components = 1, .size = 1},  {.n = 3, .components = 2, .size = 2},
          {.n = 5, .components = 3, .size = 16}, {.n = 2, .components = 130, .size = 5},
          {.n = 2, .components = 4, .size = 75}, {.n = 3, .components = 7, .size = 48}};
}

// n images of CIFAR-10's size, a component a class.
inline std::vector<MixtureShape> model_mixture_shapes(int n) {
  return {{.n = n, .components = 10, .size = 3072}};
}

}  // namespace ito::cases
