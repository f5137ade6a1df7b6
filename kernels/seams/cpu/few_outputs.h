// SPDX-License-Identifier: Apache-2.0
// Convolutions to few channels, as at a network's end: the library's kernels make 16 channels of them and throw the
// others away. Here every tap of every filter is a row of one matrix product, and the sum over taps is left to shifted
// rows:
//   p[k r s][pixel] = sum_c w[k,r,s,c] x[pixel,c];  y[i,j,k] = sum_{r,s} p[k r s][i + r - pad_top, j + s - pad_left],
// and the weight gradient, with dy's shifted rows in place of w, is one product too.
#pragma once
#include "kernels/seams/conv.h"
#include "kernels/seams/cpu/onednn.h"

namespace ito {

class FewOutputs {
 public:
  static bool takes(const ConvShape& shape);
  FewOutputs(const ConvShape& shape, DType type, bool weight_gradient);

  size_t packed_bytes() const;
  void bind(void* packed);
  void pack(const float* weight);
  void forward(DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n);

  void prepare(int workers);
  // Of so many images: dweight (K, R, S, C), dbias (K), set.
  void backward_weight(int worker, float* dweight, float* dbias, const void* x, const void* dy, int images);
  std::string name() const { return "rows:" + product_.name(); }
  std::string weight_name() const { return "rows:" + set_.name(); }

 private:
  int rows() const { return shape_.k * shape_.r * shape_.s; }
  int64_t pixels() const { return int64_t{1} * shape_.h * shape_.w; }

  ConvShape shape_;
  DType type_;
  onednn::Call product_, pack_, set_, add_;
  void* packed_ = nullptr;
};

}  // namespace ito
