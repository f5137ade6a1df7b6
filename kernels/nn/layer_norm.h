// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019) over the last dimension, with the modulation by the
// image of an adaptive norm (Peebles and Xie 2023):
//   xhat = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), biased;  RMSNorm: mean is 0, variance the mean square
//   a = weight xhat + bias;  y = a (1 + scale[n]) + shift[n]
// The rows of an image are its tokens, or the heads of its tokens: then it is the norm of queries and keys.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct LayerNormShape {
  int n = 0, rows = 0, c = 0;  // rows an image
  float eps = 1e-6f;
  bool centred = true;                                // LayerNorm; else RMSNorm
  int statistics() const { return centred ? 2 : 1; }  // numbers a row: mean and rstd, or rstd
};

// What follows the normalisation; each null where it is absent.
struct LayerNormAffine {
  const float *weight = nullptr, *bias = nullptr;  // (C)
  const float *scale = nullptr, *shift = nullptr;  // (N, C), rows at distance `stride` in numbers
  int64_t stride = 0;
};

// Gradients that are null are not wanted; those of what is absent are not asked for.
struct LayerNormGradients {
  DataRef dx;  // (N, rows, C)
  Write write = Write::Set;
  float *dweight_partial = nullptr, *dbias_partial = nullptr;  // (N, C), set: for fold_tree
  float *dscale = nullptr, *dshift = nullptr;                  // (N, C) at the stride; sums over the image's rows
  Write modulation_write = Write::Set;                         // of both
};

// y, x (N, rows, C); stats (N, rows, statistics()) fp32.
void layer_norm_forward(Stream& stream, DataRef y, float* stats, ConstDataRef x, const LayerNormAffine& affine,
                        const LayerNormShape& shape);
void layer_norm_backward(Stream& stream, const LayerNormGradients& gradients, ConstDataRef dy, ConstDataRef x,
                         const float* stats, const LayerNormAffine& affine, const LayerNormShape& shape);

}  // namespace ito
