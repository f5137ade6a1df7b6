// SPDX-License-Identifier: Apache-2.0
// Resampling by two through the smoothing filter (1, 3, 3, 1) of both axes, NHWC: the up and down of NCSN++ (Song et
// al. 2021, "Score-based generative modeling through SDEs", appendix H.1; the filter is StyleGAN2's).
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// With f = (1, 3, 3, 1) and zeros around the image, along each axis:
//   down  x (N, H, W, C) -> y (N, H/2, W/2, C):  y[i] = sum_a f[a] / 8 x[2i - 1 + a], H and W even
//   up    x (N, H, W, C) -> y (N, 2H, 2W, C):    y[2i] = x[i-1] / 4 + 3/4 x[i], y[2i+1] = 3/4 x[i] + x[i+1] / 4
// h, w: of x, in the gradients too.
void fir_downsample(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c);
void fir_downsample_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c);
void fir_upsample(Stream& stream, DataRef y, ConstDataRef x, int n, int h, int w, int c);
void fir_upsample_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, int h, int w, int c);

}  // namespace ito
