// SPDX-License-Identifier: Apache-2.0
// Measurements of each number by itself that are not linear.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// y = clip(2 x, -1, 1).
void clip_range(Stream& stream, float* y, const float* x, int64_t count);
// x = 2 r where |2 at| < 1, else 0. x may be r or at.
void clip_range_adjoint(Stream& stream, float* x, const float* r, const float* at, int64_t count);
// The nearest of levels + 1 equally spaced numbers from -1 to 1: 2 floor((x + 1) / 2 levels + 1/2) / levels - 1.
void quantise(Stream& stream, float* y, const float* x, int levels, int64_t count);

}  // namespace ito
