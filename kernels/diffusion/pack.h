// SPDX-License-Identifier: Apache-2.0
// Finished images to bytes: u = round(255 * clamp(x/2 + 1/2, 0, 1)), round to nearest even, as the published pipelines
// do.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

void pack_uint8(Stream& stream, uint8_t* out, const float* x, int64_t count);

}  // namespace ito
