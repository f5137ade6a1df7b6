// SPDX-License-Identifier: Apache-2.0
// Filters as a convolution's kernels read them: the masters in the layer's type, each tap's channels padded with zeros.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// to (rows, padded) of its type; from (rows, channels) fp32; a row is one filter's tap.
void pack_filters(Stream& stream, DataRef to, const float* from, int64_t rows, int channels, int padded);

}  // namespace ito
