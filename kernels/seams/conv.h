// SPDX-License-Identifier: Apache-2.0
// The convolution seam. x (N, H, W, C), y (N, OH, OW, K), weight (K, R, S, C) in fp32 masters:
//   y[n,p,q,k] = scale * (bias[k] + residual[n,p,q,k]
//              + sum_{r,s,c} x[n, p*stride - pad_top + r, q*stride - pad_left + s, c] * w[k,r,s,c])
// x is zero outside. A layer object keeps the library's plans and the place of its packed filters.
// Bits: image n of y and dx depends on image n alone; dweight and dbias are one partial per images_per_chunk() images,
// joined in the order of kernels/sum_tree.h, so that passes of whole subtrees share a batch without changing its bits.
#pragma once
#include <memory>
#include <string>

#include "kernels/seams/device.h"
#include "kernels/seams/kernel_table.h"

namespace ito {

struct ConvShape {
  int h = 0, w = 0, c = 0;  // input
  int k = 0;                // output channels
  int r = 3, s = 3, stride = 1;
  int pad_top = 1, pad_left = 1, pad_bottom = 1, pad_right = 1;
  int out_h() const { return (h + pad_top + pad_bottom - r) / stride + 1; }
  int out_w() const { return (w + pad_left + pad_right - s) / stride + 1; }
  int64_t weights() const { return int64_t{1} * k * r * s * c; }
};

// Throws Error, naming the layer, if the sizes give no output.
inline void check_conv_shape(const char* layer, const ConvShape& s) {
  ITO_CHECK(s.h > 0 && s.w > 0 && s.c > 0 && s.k > 0 && s.stride > 0 && s.out_h() > 0 && s.out_w() > 0, "conv ", layer,
            ": no output from ", s.h, "x", s.w, "x", s.c, " to ", s.k, " channels with ", s.r, "x", s.s, " filters");
}

struct ConvEpilogue {
  const float* bias = nullptr;  // (K)
  ConstDataRef residual = {};   // (N, OH, OW, K), y's type; null: none
  float scale = 1.0f;
  float* moments = nullptr;  // (N, moment_rows(), K, 2), set; null: not wanted
};

// The GroupNorm that made a convolution's input, h = silu(z) or z (kernels/nn/group_norm.h): a data gradient that takes
// it in sets dz in place of dh, and the sums that the norm's backward begins with.
struct NormBefore {
  ConstDataRef x = {}, x1 = {};  // what the norm reads: (N, H, W, C), or two tensors side by side
  int first_c = 0;               // of the first of two, else 0
  bool silu = true;
  const float* chain = nullptr;  // (N, 3, C): group_norm_chain's
  float* sums = nullptr;         // (N, norm_rows(), 3, C), set: over a row's pixels, for group_norm_backward_from_sums
  explicit operator bool() const { return chain; }
};

// The gradients that a layer will be asked for: what is not is not planned, and no library is tried for it.
struct ConvGradients {
  bool data = false, weight = false;
};

class ConvLayer {
 public:
  // name: for ranges and errors. type: of activations.
  ConvLayer(const char* name, const ConvShape& shape, DType type, ConvGradients gradients);
  ~ConvLayer();
  ConvLayer(const ConvLayer&) = delete;
  ConvLayer& operator=(const ConvLayer&) = delete;

  const ConvShape& shape() const;
  size_t packed_bytes() const;  // device memory for the packed filters, given to bind()
  void bind(void* packed);
  // Whether those are the masters rounded to bf16, as they stand: bind() then takes any such copy, aligned to 16 bytes,
  // and pack() is not needed.
  bool takes_rounded_masters() const;
  void pack(Stream& stream, const float* weight);  // after every change of the masters

  // Rows of pixels into which an image of y is cut for ConvEpilogue::moments: of each, and channel, the mean of y's
  // rounded values, and the sum of their squared distances from it. 0: the layer makes none.
  int moment_rows() const;

  // Rows of pixels into which an image of dx is cut for NormBefore::sums. 0: the layer takes no norm in.
  int norm_rows() const;

  size_t forward_workspace(int n) const;  // bytes
  size_t backward_data_workspace(int n) const;
  size_t backward_weight_workspace(int n) const;

  void forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n, void* workspace);
  // dx (+)= the gradient of the sum's x for dy = dL/d(sum), i.e. without the epilogue's scale.
  void backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void* workspace,
                     const NormBefore& norm = {});
  // dweight (K, R, S, C), dbias (K) or null: set.
  void backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                       void* workspace);

  // The library's names of the plans it chose, for tests and `inspect` (e.g. "brgconv:avx512_core").
  std::string implementations() const;
  // The same as a kernel table has it; empty where the device leaves no choice.
  KernelChoices choices() const;
  // Every kernel that each direction could take, tried and timed on n images; empty where the device leaves no choice.
  std::vector<KernelTiming> time_choices(int n) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ito
