// SPDX-License-Identifier: Apache-2.0
// Nearest upsampling and mean pooling by two, NHWC.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// Nearest: x (N, H, W, C) -> y (N, 2H, 2W, C). To another size (out_h, out_w):
// index min(floor(i * (float(H) / out_h)), H - 1) in fp32, as PyTorch.
void upsample_nearest(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c, int out_h, int out_w);
void upsample_nearest_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c,
                               int out_h, int out_w);
// Mean of 2x2: x (N, H, W, C) -> y (N, H/2, W/2, C), the odd last row and column left out.
void average_pool(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c);
void average_pool_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c);

}  // namespace ito
