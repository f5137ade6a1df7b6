// SPDX-License-Identifier: Apache-2.0
// GroupNorm over (H*W, C/G) per image and group (Wu and He 2018), with what surrounds it in a residual block fused in:
//   u = x + temb[n,c];  xhat = (u - mean) * rstd (biased variance);  a = gamma xhat + beta
//   z = a * (1 + scale[n,c]) + shift[n,c];  y = silu ? z * sigmoid(z) : z
// Where a decoder joins its features to those of a skip, x may stay two tensors side by side along the channels
// (GroupNormInput): what is computed has the bits of the norm of their concatenation, which is not made.
#pragma once
#include <concepts>

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

// Whether a norm of c channels can read them as two tensors, of first_c and of c - first_c: strips of eight channels
// lie in one of them. A group may lie in both. The same on every device.
constexpr bool group_norm_takes_two(int c, int first_c) {
  return 0 < first_c && first_c < c && c % 8 == 0 && first_c % 8 == 0;
}

struct GroupNormInput {
  ConstDataRef x;   // (N, HW, C), or (N, HW, first_c) where there are two
  ConstDataRef x1;  // (N, HW, C - first_c); null: there is one
  int first_c = 0;  // as group_norm_takes_two says

  template <std::convertible_to<ConstDataRef> X>
  GroupNormInput(const X& whole) : x(whole) {}
  GroupNormInput(ConstDataRef first, ConstDataRef second, int first_channels)
      : x(first), x1(second), first_c(first_channels) {}
};

// Each channel's mean and summed squares about it in segments of so many pixels (the last may have fewer).
struct GroupNormMoments {
  const float* partials = nullptr;  // (N, segments, C, 2), or (N, segments, first_c, 2) where there are two
  int segment_pixels = 0;
  const float* partials1 = nullptr;  // (N, segments1, C - first_c, 2); null: there is one
  int segment_pixels1 = 0;
  int first_c = 0;  // where there are two; any number of channels below C
};

struct GroupNormGradients {
  DataRef dx;                       // as x: (N, HW, C), or (N, HW, first_c) where x is two
  Write write = Write::Set;         // of dx
  DataRef dx1;                      // (N, HW, C - first_c); null where x is one
  Write write1 = Write::Set;        // of dx1
  float* dgamma_partial = nullptr;  // (N, C), set: for fold_tree, images_per_chunk() rows a leaf
  float* dbeta_partial = nullptr;   // (N, C), set
  float* dtemb = nullptr;           // (N, C) at temb_stride, set; null: not wanted
  float* dscale_shift = nullptr;    // (N, 2C) at scale_shift_stride, set; null: not wanted
};

// y (N, HW, C), stats (N, G, 2): mean and rstd, fp32; x (N, HW, C), or two; gamma, beta (C). Where a group is spread
// over several blocks (a GPU, images above group_norm_segment's pixels) it is the two launchers below; else one kernel
// does all. workspace: group_norm_forward_workspace bytes.
void group_norm_forward(Stream& stream, DataRef y, float* stats, const GroupNormInput& x, const float* gamma,
                        const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape,
                        float* workspace);
size_t group_norm_forward_workspace(const GroupNormShape& shape);

// Recomputes the forward's chain from x and stats. dy (N, HW, C). workspace: group_norm_backward_workspace bytes.
void group_norm_backward(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, const GroupNormInput& x,
                         const float* stats, const float* gamma, const float* beta,
                         const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace);
size_t group_norm_backward_workspace(const GroupNormShape& shape);

// The forward in two. Statistics: partials (N, segments, C, 2) as GroupNormMoments, segments of group_norm_segment(hw)
// pixels, then stats from them (Chan et al. 1979). Whoever made x, or one of two, may write such partials of it, in
// segments of its own; where all of x has them, the second function is called alone.
void group_norm_statistics(Stream& stream, float* stats, const GroupNormInput& x, const GroupNormModulation& modulation,
                           const GroupNormShape& shape, float* partials);
void group_norm_fold_statistics(Stream& stream, float* stats, const GroupNormMoments& moments,
                                const GroupNormModulation& modulation, const GroupNormShape& shape);
inline void group_norm_fold_statistics(Stream& stream, float* stats, const float* partials, int segment_pixels,
                                       const GroupNormModulation& modulation, const GroupNormShape& shape) {
  group_norm_fold_statistics(stream, stats, {partials, segment_pixels}, modulation, shape);
}
// y from x and stats.
void group_norm_apply(Stream& stream, DataRef y, const GroupNormInput& x, const float* stats, const float* gamma,
                      const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape);
// The backward over several blocks a group: sums, fold and apply; group_norm_backward's arguments.
void group_norm_backward_spread(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy,
                                const GroupNormInput& x, const float* stats, const float* gamma, const float* beta,
                                const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace);

// The backward where whoever made dy, a convolution's data gradient, did the first step on the way
// (conv_sm80_norm_rows): dz = dy silu'(z), and sums (N, rows, 3, C) over rows of hw / rows pixels: of dz, dz d and d.
// What is left is the fold and dx, which reads dz and x once: dy and x are not read for sums. Where one kernel does the
// whole backward of a small image, it reads them once from memory as it is, and nothing is saved.
// chain (N, 3, C): what dz is made with, d = x + chain 0 and z = d chain 1 + chain 2.
void group_norm_chain(Stream& stream, float* chain, const float* stats, const float* gamma, const float* beta,
                      const GroupNormModulation& modulation, const GroupNormShape& shape);
// workspace: (N, G, 2).
void group_norm_backward_from_sums(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dz,
                                   const GroupNormInput& x, const float* sums, int rows, const float* stats,
                                   const float* gamma, const float* beta, const GroupNormModulation& modulation,
                                   const GroupNormShape& shape, float* workspace);

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
