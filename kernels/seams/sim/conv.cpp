// SPDX-License-Identifier: Apache-2.0
// Convolution in sim: the portable kernels.
#include "kernels/seams/common/portable_conv.h"

namespace ito {

struct ConvLayer::Impl {
  PortableConv conv;
};

ConvLayer::ConvLayer(const char* name, const ConvShape& shape, DType type, ConvGradients gradients)
    : impl_(std::make_unique<Impl>(Impl{{name, shape, type, gradients}})) {}

ConvLayer::~ConvLayer() = default;

const ConvShape& ConvLayer::shape() const {
  return impl_->conv.shape();
}
size_t ConvLayer::packed_bytes() const {
  return impl_->conv.packed_bytes();
}
void ConvLayer::bind(void* packed) {
  impl_->conv.bind(packed);
}
void ConvLayer::pack(Stream& stream, const float* weight) {
  impl_->conv.pack(stream, weight);
}

size_t ConvLayer::forward_workspace(int) const {
  return 0;
}
size_t ConvLayer::backward_data_workspace(int) const {
  return 0;
}
size_t ConvLayer::backward_weight_workspace(int n) const {
  return impl_->conv.backward_weight_workspace(n);
}

void ConvLayer::forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n, void*) {
  impl_->conv.forward(stream, y, x, epilogue, n);
}
void ConvLayer::backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void*) {
  impl_->conv.backward_data(stream, dx, write, dy, n);
}
void ConvLayer::backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                                void* workspace) {
  impl_->conv.backward_weight(stream, dweight, dbias, dy, x, n, workspace);
}

std::string ConvLayer::implementations() const {
  return "forward=portable data=portable weight=portable";
}

}  // namespace ito
