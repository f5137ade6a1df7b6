// SPDX-License-Identifier: Apache-2.0
// GroupNorm over (H*W, C/G) per image and group (Wu and He 2018), with what surrounds it in a residual block fused in:
//   u = x + temb[n,c];  xhat = (u - mean) * rstd (biased variance);  a = gamma xhat + beta
//   z = a * (1 + scale[n,c]) + shift[n,c];  y = silu ? z * sigmoid(z) : z
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct GroupNormShape {
  int n = 0, hw = 0, c = 0, groups = 0;
  float eps = 1e-5f;
  bool silu = true;
};

// What may be folded into the norm; each null when absent. Both are fp32 rows at a row distance in elements.
struct GroupNormModulation {
  const float* temb = nullptr;  // (N, C)
  int64_t temb_stride = 0;
  const float* scale_shift = nullptr;  // (N, 2C): scale, then shift
  int64_t scale_shift_stride = 0;
};

struct GroupNormGradients {
  DataRef dx;                       // (N, HW, C)
  Write write = Write::Set;         // of dx
  float* dgamma_partial = nullptr;  // (N, C), set: for fold_tree, images_per_chunk() rows a leaf
  float* dbeta_partial = nullptr;   // (N, C), set
  float* dtemb = nullptr;           // (N, C) at temb_stride, set; null: not wanted
  float* dscale_shift = nullptr;    // (N, 2C) at scale_shift_stride, set; null: not wanted
};

// y (N, HW, C), stats (N, G, 2): mean and rstd, fp32; x (N, HW, C); gamma, beta (C).
void group_norm_forward(Stream& stream, DataRef y, float* stats, ConstDataRef x, const float* gamma, const float* beta,
                        const GroupNormModulation& modulation, const GroupNormShape& shape);

// Recomputes the forward's chain from x and stats. dy (N, HW, C).
void group_norm_backward(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, ConstDataRef x,
                         const float* stats, const float* gamma, const float* beta,
                         const GroupNormModulation& modulation, const GroupNormShape& shape);

}  // namespace ito
