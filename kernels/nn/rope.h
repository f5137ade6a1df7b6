// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021): neighbouring numbers (x0, x1) of a head are turned by an angle that the
// token's position and the pair's place give: (x0 c - x1 s, x1 c + x0 s). Which angle is the table's matter.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct RopeShape {
  int n = 0, tokens = 0, heads = 0, head_dim = 0;  // head_dim even
};

// y (+)= x turned, or turned back, which is its own backward. x, y (N, tokens, heads * head_dim), table (tokens,
// head_dim) fp32: cosine and sine of each pair. y may alias x where it is set.
void rope(Stream& stream, DataRef y, Write write, ConstDataRef x, const float* table, bool back,
          const RopeShape& shape);

}  // namespace ito
