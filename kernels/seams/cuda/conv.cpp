// SPDX-License-Identifier: Apache-2.0
// Convolution on a GPU: cuDNN where an engine keeps the seam's promises (conv_choice.h), the portable kernels
// elsewhere. A layer's engines are chosen, and tried, when it is made; the plan for N images is made by the workspace
// calls, which come before any capture.
// Forward: the sum is stored in y's type, then add_epilogue() reads and writes it in place. On bf16 layers that rounds
// twice, an error of one more unit of the sum, as every network built from separate convolution and bias operations
// has; a result in fp32 would not round twice, but few engines have one, and it moves 10 instead of 6 bytes an element.
// Data gradient: into dx, or beside it and then added.
// Weight gradient: fp32 partials, one chunk of images a call, zeros after the last image; bf16 operands are widened
// first, all images at once: no precompiled engine writes fp32 from bf16, and TF32 products of widened bf16 are exact.
#include <algorithm>

#include "kernels/seams/common/portable_conv.h"
#include "kernels/seams/cuda/conv_plans.h"
#include "kernels/seams/ranges.h"

namespace ito {
namespace {

using cuda::ConvKey;
using cuda::Direction;
using cuda::DirectionPlans;

char* at(void* base, size_t offset) {
  return static_cast<char*>(base) + offset;
}
const char* at(const void* base, size_t offset) {
  return static_cast<const char*>(base) + offset;
}

}  // namespace

struct ConvLayer::Impl {
  PortableConv conv;
  std::shared_ptr<DirectionPlans> forward, data, weight;  // null: the portable kernel

  size_t x_bytes() const { return size_of(conv.type()) * conv.x_count(); }  // an image
  size_t y_bytes() const { return size_of(conv.type()) * conv.y_count(); }

  void check(const char* direction, ConstDataRef a, ConstDataRef b, int n) const {
    ITO_CHECK(a.type == conv.type() && b.type == conv.type(), "conv ", conv.name(), ": ", direction, " of ",
              name_of(a.type), " and ", name_of(b.type), " tensors; the layer was made for ", name_of(conv.type()));
    ITO_CHECK(n > 0, "conv ", conv.name(), ": ", direction, " of ", n, " images");
  }

  // Images that are not the library's as they are stand in fp32 behind one another: all of bf16, of fp32 a last chunk
  // that is not full. Zeros fill it up.
  int copied_images(int n) const {
    const int chunk = images_per_chunk(), chunks = static_cast<int>(ceil_div(n, chunk));
    if (conv.type() == DType::BF16) return chunks * chunk;
    return n % chunk ? chunk : 0;
  }
  size_t copy_bytes(int n, int64_t count) const { return aligned(sizeof(float) * copied_images(n) * count); }

  void copy_images(Stream& stream, void* copy, const void* images, int n, int64_t count) const {
    const int copied = copied_images(n);
    if (!copied) return;
    const int chunk = images_per_chunk(), first = conv.type() == DType::BF16 ? 0 : n / chunk * chunk, have = n - first;
    const char* from = at(images, size_of(conv.type()) * first * count);
    if (conv.type() == DType::F32)
      copy_on_device(stream, copy, from, sizeof(float) * have * count);
    else
      convert(stream, {copy, DType::F32}, {from, conv.type()}, have * count);
    fill_bytes(stream, at(copy, sizeof(float) * have * count), 0, sizeof(float) * (copied - have) * count);
  }
  // Where the chunk that begins with image `first` is.
  const void* chunk_images(const void* images, const void* copy, int first, int n, int64_t count) const {
    if (conv.type() == DType::BF16) return at(copy, sizeof(float) * first * count);
    return n - first < images_per_chunk() ? copy : at(images, sizeof(float) * first * count);
  }
};

ConvLayer::ConvLayer(const char* name, const ConvShape& shape, DType type, ConvGradients gradients)
    : impl_(std::make_unique<Impl>(Impl{{name, shape, type, gradients}, nullptr, nullptr, nullptr})) {
  impl_->forward = cuda::direction_plans({shape, Direction::Forward, type, false});
  if (gradients.data) impl_->data = cuda::direction_plans({shape, Direction::Data, type, false});
  if (gradients.weight)
    impl_->weight = cuda::direction_plans({shape, Direction::Weight, DType::F32, type == DType::BF16});
}

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

size_t ConvLayer::forward_workspace(int n) const {
  return impl_->forward ? impl_->forward->workspace(impl_->conv.name(), n) : 0;
}

// The gradient that is to be added, then the library's.
size_t ConvLayer::backward_data_workspace(int n) const {
  const Impl& m = *impl_;
  return m.data ? aligned(n * m.x_bytes()) + m.data->workspace(m.conv.name(), n) : 0;
}

// The portable form's partials, then the copies of x and dy, then the library's.
size_t ConvLayer::backward_weight_workspace(int n) const {
  const Impl& m = *impl_;
  const size_t bytes = m.conv.backward_weight_workspace(n);
  if (!m.weight) return bytes;
  return aligned(bytes) + m.copy_bytes(n, m.conv.x_count()) + m.copy_bytes(n, m.conv.y_count()) +
         m.weight->workspace(m.conv.name(), images_per_chunk());
}

void ConvLayer::forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& e, int n, void* workspace) {
  const Impl& m = *impl_;
  if (!m.forward) return m.conv.forward(stream, y, x, e, n);
  m.check("forward", y, x, n);
  const ConvShape& s = shape();
  {
    const Range range("conv_forward");
    m.forward->run(m.conv.name(), stream, n, x.data, m.conv.filters("forward").data, y.data, workspace);
  }
  if (e.bias || e.residual || e.scale != 1.0f)
    add_epilogue(stream, y, y, {e.bias, e.residual, e.scale}, n, s.out_h() * s.out_w(), s.k);
}

void ConvLayer::backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void* workspace) {
  const Impl& m = *impl_;
  if (!m.data) return m.conv.backward_data(stream, dx, write, dy, n);
  m.check("data gradient", dx, dy, n);
  ITO_CHECK(workspace, "conv ", m.conv.name(), ": a data gradient needs a workspace");
  const bool add = write == Write::Add;
  const DataRef result = add ? DataRef(workspace, dx.type) : dx;
  {
    const Range range("conv_backward_data");
    m.data->run(m.conv.name(), stream, n, result.data, m.conv.filters("data gradient").data, dy.data,
                at(workspace, aligned(n * m.x_bytes())));
  }
  if (add) accumulate(stream, dx, Write::Add, result, 1.0f, n * m.conv.x_count());
}

void ConvLayer::backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                                void* workspace) {
  const Impl& m = *impl_;
  if (!m.weight) return m.conv.backward_weight(stream, dweight, dbias, dy, x, n, workspace);
  m.check("weight gradient", dy, x, n);
  const int chunk = images_per_chunk();
  m.conv.backward_weight(stream, dweight, dbias, dy, n, workspace, [&](float* partial) {
    const Range range("conv_backward_weight");
    char* x_copy = at(workspace, aligned(m.conv.backward_weight_workspace(n)));
    char* dy_copy = x_copy + m.copy_bytes(n, m.conv.x_count());
    char* library = dy_copy + m.copy_bytes(n, m.conv.y_count());
    m.copy_images(stream, x_copy, x.data, n, m.conv.x_count());
    m.copy_images(stream, dy_copy, dy.data, n, m.conv.y_count());
    for (int first = 0; first < n; first += chunk, partial += shape().weights())
      m.weight->run(m.conv.name(), stream, chunk, m.chunk_images(x.data, x_copy, first, n, m.conv.x_count()), partial,
                    m.chunk_images(dy.data, dy_copy, first, n, m.conv.y_count()), library);
  });
}

std::string ConvLayer::implementations() const {
  const auto name = [](const std::shared_ptr<DirectionPlans>& plans) { return plans ? plans->name() : "portable"; };
  const ConvGradients gradients = impl_->conv.gradients();
  return "forward=" + name(impl_->forward) + (gradients.data ? " data=" + name(impl_->data) : "") +
         (gradients.weight ? " weight=" + name(impl_->weight) : "");
}

}  // namespace ito
