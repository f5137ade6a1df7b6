// SPDX-License-Identifier: Apache-2.0
// Pooling over windows, NHWC: y[n,p,q,c] is the largest, or the mean, of the pixels x[n,h,w,c] of the image that lie in
// the window of S x S whose first one is (p stride - pad, q stride - pad). What the window has outside of the image is
// no number: it is not the largest, and the mean is over as many as are inside (PyTorch's count_include_pad=False).
// Forward alone: pooling by two that a network is trained through is in resample.h.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct WindowShape {
  int h = 0, w = 0, c = 0;            // input
  int size = 3, stride = 1, pad = 0;  // S; pad < S, so that no window is empty
  int out_h() const { return (h + 2 * pad - size) / stride + 1; }
  int out_w() const { return (w + 2 * pad - size) / stride + 1; }
};

// x (N, H, W, C) -> y (N, OH, OW, C), set. A window with a NaN gives NaN. The mean's sum is taken by rows, in order.
void window_max(Stream& stream, DataRef y, ConstDataRef x, int n, const WindowShape& shape);
void window_mean(Stream& stream, DataRef y, ConstDataRef x, int n, const WindowShape& shape);

}  // namespace ito
