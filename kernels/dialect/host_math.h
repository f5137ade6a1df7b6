// SPDX-License-Identifier: Apache-2.0
// What math.h is made of where the compiler is the host's (cpu and sim): the same bits as the GPU's instructions,
// written so that loops vectorise. A GPU's own are in cuda/dialect.h.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/types.h"

namespace ito {

// x within [-bound, bound], some number of these for NaN. In whole numbers: two comparisons of fp32 in a row become
// branches to GCC, and then a chain of blends.
DEVICE float clamp_to(float bound, float x) {
  uint32_t u, most;
  memcpy(&u, &x, 4);
  memcpy(&most, &bound, 4);
  const uint32_t size = u & 0x7FFFFFFFu;
  u = (size < most ? size : most) | (u & 0x80000000u);
  memcpy(&x, &u, 4);
  return x;
}

// 1 / d for d in [1, 2^126), correctly rounded.
DEVICE float reciprocal(float d) {
  return 1.0f / d;
}

// To nearest, ties to even. NaN becomes the one NaN that a GPU's conversion knows.
DEVICE bf16 round_to_bf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  const bool number = static_cast<int32_t>(u & 0x7FFFFFFFu) <= 0x7F800000;
  return bf16{static_cast<uint16_t>(number ? rounded : 0x7FFFu)};
}

}  // namespace ito
