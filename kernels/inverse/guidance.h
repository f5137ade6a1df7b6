// SPDX-License-Identifier: Apache-2.0
// The gradient of a measurement through the network: D = clip(a x + b pred(c x)) with the row's a, b (reverse_row.h)
// and the scale c of the network's input, so that for a vector u an image
//   (dD/dx)^T u = a u' + c (dpred/dsample)^T (b u'),   u' = u where D was not clipped, else 0.
#pragma once
#include "kernels/diffusion/reverse_row.h"

namespace ito {

struct EstimateInputs {
  const float* x = nullptr;  // (N, pixels, C)
  ConstDataRef pred;         // (N, pixels, C), or 2C if wide
  bool wide = false;
  const ReverseRow* rows = nullptr;
  const int64_t* row = nullptr;
  int n = 0, pixels = 0, c = 0;
};

// d (N, pixels, C) = D, as reverse_row estimates it. Thresholding is not done.
void estimate_x0(Stream& stream, float* d, const EstimateInputs& in);
// cotangent (as pred) = b u', 0 in the channels of a variance.
void set_guidance_cotangent(Stream& stream, DataRef cotangent, const float* u, const EstimateInputs& in);
// g = a u' + c gradient; gradient (N, pixels, C) as the network's sample. first_input_scale: c of the first row. g may
// be u.
void finish_guidance(Stream& stream, float* g, const float* u, ConstDataRef gradient, float first_input_scale,
                     const EstimateInputs& in);

// r = y - h, or where `normalised` (y - h) / max(|y - h|, 1e-12), the norm over one image. All (N, M); r may be either.
void measure_residual(Stream& stream, float* r, const float* y, const float* h, bool normalised, int n, int64_t m);

}  // namespace ito
