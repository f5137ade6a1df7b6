// SPDX-License-Identifier: Apache-2.0
// Parallel rays through an image at n angles th_q = pi q / n, as a matrix whose adjoint is its own. A pixel's centre is
// (x, y) = (j - (W-1)/2, i - (H-1)/2), a detector's d_k = k - (D-1)/2, and the weight of a pixel on a detector
//   w = max(0, 1 - |x cos th + y sin th - d_k|),
// the same bits in both directions, so that neither needs atomics.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct RadonShape {
  int height, width, channels, angles, detectors;
  const float* directions;  // (angles, 2): cos th, sin th; in device memory
};

// y (N, angles, detectors, C) from x (N, H, W, C): sums over rows, then columns, upwards.
void radon(Stream& stream, float* y, const float* x, const RadonShape& shape, int n);
// x = H^T y: sums over angles, then the detectors beside the pixel.
void radon_adjoint(Stream& stream, float* x, const float* y, const RadonShape& shape, int n);

}  // namespace ito
