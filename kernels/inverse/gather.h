// SPDX-License-Identifier: Apache-2.0
// Numbers of a row by index: the choice of what is measured, its adjoint, and padding.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// to[n, k] = scale from[n, index[k]], or 0 where index[k] < 0. to (N, to_size), from (N, from_size), index (to_size) in
// device memory. to is not from.
void gather(Stream& stream, float* to, const float* from, const int32_t* index, int n, int64_t to_size,
            int64_t from_size, float scale = 1);

}  // namespace ito
