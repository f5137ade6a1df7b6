// SPDX-License-Identifier: Apache-2.0
// Windows to pool over: ragged ones, then those of Inception-v3 with fewer channels.
#pragma once
#include <vector>

#include "kernels/nn/windows.h"

namespace ito::cases {

struct WindowCase {
  WindowShape shape;
  int n;
};

// {h, w, c, size, stride, pad}
inline const std::vector<WindowCase> kWindows = {
    {{5, 7, 3, 3, 1, 1}, 2},    {{4, 5, 33, 2, 2, 0}, 3},  // the odd last column left out; a channel past a warp
    {{6, 5, 300, 3, 2, 2}, 1},                             // corners of one pixel; more channels than threads
    {{1, 1, 1, 1, 1, 0}, 1},    {{3, 2, 5, 5, 3, 4}, 2},   // windows larger than the image
    {{17, 17, 64, 3, 2, 0}, 2}, {{8, 8, 64, 3, 1, 1}, 2}, {{8, 8, 64, 8, 1, 0}, 2},
};

}  // namespace ito::cases
