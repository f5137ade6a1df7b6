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

// y (N, HW, C), stats (N, G, 2): mean and rstd, fp32; x (N, HW, C); gamma, beta (C). Where a group is spread over
// several blocks (a GPU, images above group_norm_segment's pixels) it is the two launchers below; else one kernel does
// all. workspace: group_norm_forward_workspace bytes.
void group_norm_forward(Stream& stream, DataRef y, float* stats, ConstDataRef x, const float* gamma, const float* beta,
                        const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace);
size_t group_norm_forward_workspace(const GroupNormShape& shape);

// Recomputes the forward's chain from x and stats. dy (N, HW, C). workspace: group_norm_backward_workspace bytes.
void group_norm_backward(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, ConstDataRef x,
                         const float* stats, const float* gamma, const float* beta,
                         const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace);
size_t group_norm_backward_workspace(const GroupNormShape& shape);

// The forward in two. Statistics: partials (N, segments, C, 2), mean and summed squares about it of each channel's x in
// a segment of group_norm_segment(hw) pixels (the last may have fewer), then stats from them (Chan et al. 1979).
// Whoever made x may write such partials, in segments of its own, and call the second function alone.
void group_norm_statistics(Stream& stream, float* stats, ConstDataRef x, const GroupNormModulation& modulation,
                           const GroupNormShape& shape, float* partials);
void group_norm_fold_statistics(Stream& stream, float* stats, const float* partials, int segment_pixels,
                                const GroupNormModulation& modulation, const GroupNormShape& shape);
// y from x and stats.
void group_norm_apply(Stream& stream, DataRef y, ConstDataRef x, const float* stats, const float* gamma,
                      const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape);
// The backward over several blocks a group: sums, fold and apply; group_norm_backward's arguments.
void group_norm_backward_spread(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, ConstDataRef x,
                                const float* stats, const float* gamma, const float* beta,
                                const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace);

// Whether a layer's groups are spread over several blocks: by its shape alone, never by the number of images. Then the
// statistics are a pass of their own over x, which moments from whoever made x save.
bool group_norm_spreads(const GroupNormShape& shape);

// Pixels of a block's segment, by the image's size alone: few enough that a single image fills a GPU, and at most 64
// segments up to 256 x 256 pixels.
constexpr int group_norm_segment(int hw) {
  return hw <= 16384 ? 256 : 1024;
}
constexpr int group_norm_segments(int hw) {
  return (hw + group_norm_segment(hw) - 1) / group_norm_segment(hw);
}

}  // namespace ito
