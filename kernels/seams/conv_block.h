// SPDX-License-Identifier: Apache-2.0
// A convolution and what stands before and beside it in a U-Net, as one launch a direction where the device has that:
//   y[n,p,q,k] = scale * (bias[k] + sum_{r,s,c} u[n, p*stride - pad_top + r, q*stride - pad_left + s, c] * w[k,r,s,c]
//              + shortcut_bias[k] + sum_c s[n,p,q,c] * v[k,c])
// u is x (N, H, W, C), or x (N, H/2, W/2, C) with every pixel four times, which is never made. s (N, OH, OW, Cs) is the
// input of a shortcut, or there is none; it may be two tensors side by side, a concatenation that is never made.
// Bits: as conv.h promises. Rounding: once, of the whole sum; apart, the shortcut's result is rounded too.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/seams/conv.h"

namespace ito {

struct ConvBlockShape {
  ConvShape conv;            // as the filter sees its input: after upsampling
  bool upsampled = false;    // each pixel of x four times
  int shortcut_c = 0;        // 0: none
  int shortcut_first_c = 0;  // of the first where it is two tensors, else 0
};

// The convolution of a shortcut, as it is apart.
inline ConvShape shortcut_of(const ConvBlockShape& s) {
  return {s.conv.out_h(), s.conv.out_w(), s.shortcut_c, s.conv.k, 1, 1, 1, 0, 0, 0, 0};
}

// Of a shortcut's input; the second null where it is one tensor.
struct ShortcutInput {
  ConstDataRef first = {}, second = {};
};
struct ShortcutGradient {  // null: not wanted
  DataRef first = {}, second = {};
  Write first_write = Write::Set, second_write = Write::Set;
};
struct ConvBlockParameters {  // fp32; the shortcut's null where there is none
  const float *weight = nullptr, *bias = nullptr, *shortcut_weight = nullptr, *shortcut_bias = nullptr;
};
struct ConvBlockGradients {  // set; null: not wanted. Both biases have the same gradient.
  float *weight = nullptr, *bias = nullptr, *shortcut_weight = nullptr, *shortcut_bias = nullptr;
};

class ConvBlock {
 public:
  virtual ~ConvBlock() = default;
  virtual std::string name() const = 0;  // as a kernel table has it
  virtual size_t packed_bytes() const = 0;
  virtual void bind(void* packed) = 0;
  virtual void pack(Stream& stream, const ConvBlockParameters& parameters) = 0;  // after every change of the masters
  virtual int moment_rows() const = 0;                                           // as ConvLayer's
  virtual int norm_rows() const = 0;                                             // likewise
  virtual size_t backward_weight_workspace(int n) const = 0;                     // bytes

  virtual void forward(Stream& stream, DataRef y, ConstDataRef x, const ShortcutInput& shortcut, float scale,
                       float* moments, int n) = 0;
  // dy = dL/d(sum). du (N, H, W, C) is u's gradient: where x is upsampled the caller sums it over the four.
  virtual void backward_data(Stream& stream, DataRef du, Write write, ConstDataRef dy, int n,
                             const NormBefore& norm = {}) = 0;
  virtual void backward_shortcut(Stream& stream, const ShortcutGradient& gradient, ConstDataRef dy, int n) = 0;
  virtual void backward_weight(Stream& stream, const ConvBlockGradients& gradients, ConstDataRef dy, ConstDataRef x,
                               const ShortcutInput& shortcut, int n, void* workspace) = 0;
};

// Null where the device has none, or where the block is to be apart: as the kernel table says; without a line there,
// one where its convolution's forward alone would take the same kernel and the block passes its trial.
std::unique_ptr<ConvBlock> make_conv_block(const char* layer, const ConvBlockShape& shape, DType type);

inline constexpr const char* kBlockApart = "apart";  // the choice of no block
// The choice that was made, as a kernel table has it; empty where the device leaves none.
KernelChoices conv_block_choices(const ConvBlockShape& shape, DType type, const ConvBlock* block);
// Both ways, each with all the launches of a forward and, where wanted, of the gradients. parts: the timings of the
// layers that it is made of apart; of each layer and direction the fastest counts.
std::vector<KernelTiming> time_conv_block(const ConvBlockShape& shape, DType type, bool gradients, int n,
                                          const std::vector<KernelTiming>& parts);

}  // namespace ito
