// SPDX-License-Identifier: Apache-2.0
// Convolution on tensor cores by mma.sync: bf16 NHWC, products exact, sums in fp32, rounded once. Shapes and sums as in
// seams/conv.h, with what stands around a convolution in a U-Net taken in:
//   y[n,p,q,k] = scale (sum + bias[k] + temb[n,k] + residual[n,p,q,k])
//   sum        = sum_{r,s,c} x[n, p st - pt + r, q st - pl + s, c] w[k,r,s,c] + sum_c shortcut[n,p,q,c] v[k,c]
// x may be two tensors side by side (a concat that is never made), or one of half the size of which each pixel is read
// four times (an upsampling that is never made).
// The inner dimension is (r, s, c), c rounded up to 8 and filled with zeros, then the shortcut's channels: packed
// filters are (K, R S C8 + Cs) bf16, and both gradients read the same.
// Bits: what a shape's tiles are depends on the shape alone. Image n of y and dx depends on image n alone.
#pragma once
#include "kernels/seams/conv.h"

namespace ito {

struct ConvSm80Shape {
  ConvShape conv;            // as the filter sees its input: after upsampling, with the channels of both tensors
  int first_c = 0;           // channels of the first tensor where the input is two; a multiple of 8; 0: one tensor
  bool upsampled = false;    // x is (N, h / 2, w / 2, c)
  int shortcut_c = 0;        // channels of the shortcut's input, a multiple of 8; 0: none
  int shortcut_first_c = 0;  // likewise, where that is two tensors
};

struct ConvSm80Input {
  const bf16* x = nullptr;          // (N, H, W, first_c, or C where it is one)
  const bf16* x1 = nullptr;         // (N, H, W, C - first_c)
  const bf16* shortcut = nullptr;   // (N, OH, OW, shortcut_first_c, or shortcut_c where it is one)
  const bf16* shortcut1 = nullptr;  // (N, OH, OW, shortcut_c - shortcut_first_c)
};

struct ConvSm80Epilogue {
  const float* bias = nullptr;  // (K); of a shortcut too
  const float* temb = nullptr;  // (N, K), rows temb_stride elements apart
  int64_t temb_stride = 0;
  const bf16* residual = nullptr;  // (N, OH, OW, K)
  float scale = 1.0f;
  float* moments = nullptr;  // (N, conv_sm80_moment_rows(), K, 2), set: see there
};

// The GroupNorm that made the convolution's input, h = silu(z) or z, where its backward is to find its first step done
// (conv_sm80_norm_rows): dx is then dz, the gradient by z, and group_norm_backward_from_sums takes it from there.
// Moved: x read here, in place of dh and x read by a kernel for the sums; a launch less.
struct ConvSm80Norm {
  const bf16* x = nullptr;       // (N, H, W, C): what the norm reads; null: no norm
  const bf16* x1 = nullptr;      // where that is two tensors, as first_c says: (N, H, W, C - first_c), x the rest
  int first_c = 0;               // a multiple of 8; 0: one tensor
  bool silu = true;              // whether h is silu(z)
  const float* chain = nullptr;  // (N, 3, C): group_norm_chain's
  float* sums = nullptr;         // (N, conv_sm80_norm_rows(), 3, C), set: sums over a row's pixels of dz, dz d and d
};

struct ConvSm80DataGradient {
  bf16* dx = nullptr;  // (N, H, W, first_c, or C where the input is one tensor); null: not wanted, if dx1 is
  Write write = Write::Set;
  bf16* dx1 = nullptr;  // (N, H, W, C - first_c); null: not wanted
  Write write1 = Write::Set;
  ConvSm80Norm norm = {};  // only where dx is set, and all that there is
};

struct ConvSm80WeightGradients {
  float* dweight = nullptr;    // (K, R, S, C), set
  float* dshortcut = nullptr;  // (K, Cs), set; only where there is a shortcut
  float* dbias = nullptr;      // (K), set; null: not wanted
};

// Null if these kernels take the shape, else why not.
const char* conv_sm80_refusal(const ConvSm80Shape& shape);

size_t conv_sm80_packed_bytes(const ConvSm80Shape& shape);
// packed (K, R S C8 + Cs); weight (K, R, S, C) and shortcut (K, Cs), or null where there is none: fp32 masters.
void conv_sm80_pack(Stream& stream, bf16* packed, const float* weight, const float* shortcut,
                    const ConvSm80Shape& shape);

// All pointers to bf16 are aligned to 16 bytes.
void conv_sm80_forward(Stream& stream, bf16* y, const ConvSm80Input& input, const bf16* packed,
                       const ConvSm80Epilogue& epilogue, const ConvSm80Shape& shape, int n);

// For the GroupNorm that reads y. Each image is cut into rows of pixels of equal number; moments[n][row][k] is the mean
// of y's rounded values over the row's pixels in channel k, and the sum of their squared distances from it. Join them
// by Chan's formula, rows in order. 0: not offered (an image would not be cut the same wherever it stands in a batch).
int conv_sm80_moment_rows(const ConvSm80Shape& shape);

// Of the sum, without the epilogue, by x as the filter sees it: where that is upsampled, dx is (N, h, w, c), and
// upsample_nearest_backward follows. A shortcut's gradient is conv_sm80_backward_shortcut.
void conv_sm80_backward_data(Stream& stream, const ConvSm80DataGradient& gradient, const bf16* dy, const bf16* packed,
                             const ConvSm80Shape& shape, int n);
// Rows of pixels, of equal number, into which an image is cut for ConvSm80Norm::sums. 0: not offered (an image would
// not be cut the same wherever it stands in a batch; strides, an upsampling, an input of two tensors; 16 channels or
// less).
int conv_sm80_norm_rows(const ConvSm80Shape& shape);
// dx (N, OH, OW, Cs or its parts).
void conv_sm80_backward_shortcut(Stream& stream, const ConvSm80DataGradient& gradient, const bf16* dy,
                                 const bf16* packed, const ConvSm80Shape& shape, int n);

// Leaves of the sum over images are a chunk's parts of equal number, a power of two that the shape decides: a subtree
// of kernels/sum_tree.h. The workspace holds a partial a part, and is read and written once.
size_t conv_sm80_backward_weight_workspace(const ConvSm80Shape& shape, int n);
void conv_sm80_backward_weight(Stream& stream, const ConvSm80WeightGradients& gradients, const bf16* dy,
                               const ConvSm80Input& input, const ConvSm80Shape& shape, int n, void* workspace);

}  // namespace ito
