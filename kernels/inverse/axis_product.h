// SPDX-License-Identifier: Apache-2.0
// A dense matrix along one axis of an image: rows, columns, channels, or all numbers of the image.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// In device memory.
struct AxisMatrix {
  int rows, columns;
  const float* values;  // (rows, columns)
  const int32_t* band;  // (rows, 2): entries before the first and from the second on are 0 and are not read
};

// y[o, r, i] = sum_l A[r, l] x[o, l, i], l upwards. x (outer, columns, inner), y (outer, rows, inner). y is not x.
void axis_product(Stream& stream, float* y, const float* x, const AxisMatrix& a, int64_t outer, int64_t inner);

}  // namespace ito
