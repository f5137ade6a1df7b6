// SPDX-License-Identifier: Apache-2.0
// A convolution layer on the portable kernels alone: all of sim, and the fallback of the CUDA build. The packed filters
// are the masters in the activations' type, (K, R, S, C). Methods as in seams/conv.h.
#pragma once
#include <string>

#include "kernels/nn/conv.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/pointwise.h"

namespace ito {

class PortableConv {
 public:
  PortableConv(const char* name, const ConvShape& shape, DType type, ConvGradients gradients)
      : name_(name), shape_(shape), type_(type), gradients_(gradients) {
    ITO_CHECK(shape.h > 0 && shape.w > 0 && shape.c > 0 && shape.k > 0 && shape.stride > 0 && shape.out_h() > 0 &&
                  shape.out_w() > 0,
              "conv ", name, ": no output from ", shape.h, "x", shape.w, "x", shape.c, " to ", shape.k,
              " channels with ", shape.r, "x", shape.s, " filters");
  }

  const std::string& name() const { return name_; }
  const ConvShape& shape() const { return shape_; }
  DType type() const { return type_; }
  ConvGradients gradients() const { return gradients_; }
  int64_t x_count() const { return int64_t{1} * shape_.h * shape_.w * shape_.c; }  // elements an image
  int64_t y_count() const { return int64_t{1} * shape_.out_h() * shape_.out_w() * shape_.k; }

  size_t packed_bytes() const { return size_of(type_) * shape_.weights(); }
  void bind(void* packed) { packed_ = packed; }
  ConstDataRef filters(const char* direction) const {
    ITO_CHECK(packed_, "conv ", name_, ": ", direction, " before bind(); give it the memory for packed filters first");
    return {packed_, type_};
  }
  void pack(Stream& stream, const float* weight) const {
    filters("pack");
    convert(stream, {packed_, type_}, weight, shape_.weights());
  }

  // Partials of the filters (chunks, K, R, S, C), then of the bias (chunks, K).
  size_t backward_weight_workspace(int n) const {
    if (!gradients_.weight) return 0;
    return sizeof(float) * ceil_div(n, images_per_chunk()) * (shape_.weights() + shape_.k);
  }

  void forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n) const {
    conv_forward(stream, y, x, filters("forward"), epilogue, shape_, n);
  }

  void check_data() const {
    ITO_CHECK(gradients_.data, "conv ", name_, ": a data gradient of a layer made without it");
  }
  void backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n) const {
    check_data();
    conv_backward_data(stream, dx, write, dy, filters("data gradient"), shape_, n);
  }

  // make_partials(float* partial) sets the partials of the filters, one a chunk: another kernel may make them.
  template <class MakePartials>
  void backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, int n, void* workspace,
                       const MakePartials& make_partials) const {
    ITO_CHECK(gradients_.weight && workspace, "conv ", name_,
              ": a weight gradient needs a layer made with it and a workspace");
    const int64_t chunks = ceil_div(n, images_per_chunk());
    float* partial = static_cast<float*>(workspace);
    make_partials(partial);
    fold_tree(stream, dweight, partial, chunks, 1, shape_.weights());
    if (!dbias) return;
    sum_rows(stream, dbias, dy, partial + chunks * shape_.weights(), n, shape_.out_h() * shape_.out_w(), shape_.k);
  }
  void backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                       void* workspace) const {
    backward_weight(stream, dweight, dbias, dy, n, workspace,
                    [&](float* partial) { conv_backward_weight(stream, partial, dy, x, shape_, n); });
  }

 private:
  std::string name_;
  ConvShape shape_;
  DType type_;
  ConvGradients gradients_;
  void* packed_ = nullptr;
};

}  // namespace ito
