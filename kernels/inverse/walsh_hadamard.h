// SPDX-License-Identifier: Apache-2.0
// The Walsh-Hadamard transform along an axis: W_ij = (-1)^popcount(i & j) / sqrt(length), natural order. It is
// symmetric and its own inverse.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// x (outer, length, inner) in place; length a power of two.
void walsh_hadamard(Stream& stream, float* x, int64_t outer, int64_t length, int64_t inner);

}  // namespace ito
