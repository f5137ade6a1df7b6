// SPDX-License-Identifier: Apache-2.0
// Dropout whose mask is a function of the counter, recomputed by the backward and never stored.
// element e of sample i is kept if uniform01(philox(seed; e/4, step, i, Dropout | layer << 8)[e%4]) >= p.
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

struct DropoutShape {
  int n = 0;
  int64_t row = 0;     // elements an image
  float p = 0.0f;      // probability of zero; kept elements are divided by 1 - p
  uint32_t layer = 0;  // distinguishes layers of a network
};

// y = mask * x / (1 - p). The backward is the same function on dy.
void dropout(Stream& stream, DataRef y, Write write, ConstDataRef x, const SampleCounter& counter,
             const DropoutShape& shape);

}  // namespace ito
