// SPDX-License-Identifier: Apache-2.0
// Convolution in sim: the portable kernels. The packed filters are the masters in the activations' type.
#include "kernels/nn/conv.h"

#include "kernels/nn/pointwise.h"
#include "kernels/seams/conv.h"

namespace ito {

struct ConvLayer::Impl {
  std::string name;
  ConvShape shape;
  DType type;
  bool training;
  void* packed = nullptr;

  ConstDataRef filters(const char* direction) const {
    ITO_CHECK(packed, "conv ", name, ": ", direction, " before bind(); give it the memory for packed filters first");
    return {packed, type};
  }
};

ConvLayer::ConvLayer(const char* name, const ConvShape& shape, DType type, bool training)
    : impl_(std::make_unique<Impl>(Impl{name, shape, type, training})) {
  ITO_CHECK(shape.h > 0 && shape.w > 0 && shape.c > 0 && shape.k > 0 && shape.stride > 0 && shape.out_h() > 0 &&
                shape.out_w() > 0,
            "conv ", name, ": no output from ", shape.h, "x", shape.w, "x", shape.c, " to ", shape.k, " channels with ",
            shape.r, "x", shape.s, " filters");
}

ConvLayer::~ConvLayer() = default;

const ConvShape& ConvLayer::shape() const {
  return impl_->shape;
}
size_t ConvLayer::packed_bytes() const {
  return size_of(impl_->type) * impl_->shape.weights();
}
void ConvLayer::bind(void* packed) {
  impl_->packed = packed;
}

void ConvLayer::pack(Stream& stream, const float* weight) {
  impl_->filters("pack");
  convert(stream, {impl_->packed, impl_->type}, weight, impl_->shape.weights());
}

size_t ConvLayer::forward_workspace(int) const {
  return 0;
}
size_t ConvLayer::backward_data_workspace(int) const {
  return 0;
}

// Partials of the filters (chunks, K, R, S, C), then of the bias (chunks, K).
size_t ConvLayer::backward_weight_workspace(int n) const {
  const int64_t chunks = ceil_div(n, images_per_chunk());
  return sizeof(float) * chunks * (impl_->shape.weights() + impl_->shape.k);
}

void ConvLayer::forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n, void*) {
  conv_forward(stream, y, x, impl_->filters("forward"), epilogue, impl_->shape, n);
}

void ConvLayer::backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void*) {
  ITO_CHECK(impl_->training, "conv ", impl_->name, ": a data gradient of a layer made without training");
  conv_backward_data(stream, dx, write, dy, impl_->filters("data gradient"), impl_->shape, n);
}

void ConvLayer::backward_weight(Stream& stream, float* dweight, float* dbias, Write write, ConstDataRef dy,
                                ConstDataRef x, int n, void* workspace) {
  const ConvShape& s = impl_->shape;
  ITO_CHECK(impl_->training && workspace, "conv ", impl_->name, ": a weight gradient needs training and a workspace");
  const int64_t chunks = ceil_div(n, images_per_chunk());
  float* partial = static_cast<float*>(workspace);
  conv_backward_weight(stream, partial, dy, x, s, n);
  fold_rows(stream, dweight, write, partial, chunks, s.weights());
  if (dbias) sum_rows(stream, dbias, write, dy, partial + chunks * s.weights(), n, s.out_h() * s.out_w(), s.k);
}

std::string ConvLayer::implementations() const {
  return "forward=portable data=portable weight=portable";
}

}  // namespace ito
