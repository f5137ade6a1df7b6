// SPDX-License-Identifier: Apache-2.0
// GroupNorms: ragged channels and pixels, groups of one and of all channels, and the small UNets' own; shared by tests
// and benches.
#pragma once
#include <vector>

#include "kernels/nn/group_norm.h"

namespace ito::cases {

struct GroupNormCase {
  int n, hw, c, groups;
  bool silu, temb, scale_shift;
  double mean;  // of x; large: cancellation
};

inline std::vector<GroupNormCase> group_norm_cases() {
  return {{1, 1, 2, 1, false, false, false, 0.0},    {3, 7, 6, 2, true, true, false, 0.0},
          {2, 33, 5, 5, true, false, true, 1.0},     {3, 49, 24, 3, false, true, true, 0.0},
          {2, 100, 48, 4, true, false, false, 50.0}, {2, 49, 64, 8, true, true, false, 0.5},
          {2, 784, 32, 8, true, false, false, 0.5},  {1, 1024, 128, 32, true, true, true, 0.0},
          {2, 16, 256, 1, true, false, false, 0.0}};
}

// ddpm-cifar10's; n images.
inline std::vector<GroupNormCase> model_group_norm_cases(int n) {
  return {{n, 1024, 128, 32, true, false, false, 0.0}, {n, 256, 256, 32, true, true, false, 0.0}};
}

}  // namespace ito::cases
