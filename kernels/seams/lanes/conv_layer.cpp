// SPDX-License-Identifier: Apache-2.0
// The convolution layer of sim and of a GPU: a runner a direction, and the filters as they want them. Directions whose
// runners read the same form of the filters share one copy.
#include <algorithm>
#include <iterator>

#include "kernels/nn/pack_filters.h"
#include "kernels/seams/lanes/conv_choice.h"

namespace ito {

struct ConvLayer::Impl {
  std::string name;
  ConvShape shape;
  DType type;
  std::unique_ptr<ConvRunner> forward, data, weight;  // null: a gradient that nobody wants
  char* packed = nullptr;

  // Where the data gradient's filters stand: in the forward's copy where that is the same.
  bool shares() const {
    return !data ||
           padded_channels(shape, data->channel_multiple()) == padded_channels(shape, forward->channel_multiple());
  }
  size_t bytes(const ConvRunner& runner) const {
    return aligned(size_of(type) * filter_elements(shape, runner.channel_multiple()));
  }
  size_t data_offset() const { return shares() ? 0 : bytes(*forward); }

  ConstDataRef filters(const char* what, size_t offset) const {
    ITO_CHECK(packed, "conv ", name, ": ", what, " before bind(); give it the memory for packed filters first");
    return {packed + offset, type};
  }
  void check(const char* what, ConstDataRef a, ConstDataRef b, int n) const {
    ITO_CHECK(a.type == type && b.type == type, "conv ", name, ": ", what, " of ", name_of(a.type), " and ",
              name_of(b.type), " tensors; the layer was made for ", name_of(type));
    ITO_CHECK(n > 0, "conv ", name, ": ", what, " of ", n, " images");
  }
};

ConvLayer::ConvLayer(const char* name, const ConvShape& shape, DType type, ConvGradients gradients)
    : impl_(std::make_unique<Impl>()) {
  check_conv_shape(name, shape);
  Impl& m = *impl_;
  m.name = name;
  m.shape = shape;
  m.type = type;
  m.forward = choose_conv(m.name, {shape, ConvDirection::Forward, type});
  if (gradients.data) m.data = choose_conv(m.name, {shape, ConvDirection::Data, type});
  if (gradients.weight) m.weight = choose_conv(m.name, {shape, ConvDirection::Weight, type});
}

ConvLayer::~ConvLayer() = default;

const ConvShape& ConvLayer::shape() const {
  return impl_->shape;
}

size_t ConvLayer::packed_bytes() const {
  return impl_->bytes(*impl_->forward) + (impl_->shares() ? 0 : impl_->bytes(*impl_->data));
}

void ConvLayer::bind(void* packed) {
  impl_->packed = static_cast<char*>(packed);
}

bool ConvLayer::takes_rounded_masters() const {
  const Impl& m = *impl_;
  const auto plain = [&](const ConvRunner* runner) {
    return !runner || padded_channels(m.shape, runner->channel_multiple()) == m.shape.c;
  };
  return m.type == DType::BF16 && plain(m.forward.get()) && plain(m.data.get());
}

void ConvLayer::pack(Stream& stream, const float* weight) {
  const Impl& m = *impl_;
  m.filters("pack", 0);
  const ConvShape& s = m.shape;
  const auto pack_for = [&](const ConvRunner& runner, size_t offset) {
    pack_filters(stream, {m.packed + offset, m.type}, weight, int64_t{1} * s.k * s.r * s.s, s.c,
                 padded_channels(s, runner.channel_multiple()));
  };
  pack_for(*m.forward, 0);
  if (!m.shares()) pack_for(*m.data, m.data_offset());
}

int ConvLayer::moment_rows() const {
  return impl_->forward->moment_rows();
}

int ConvLayer::norm_rows() const {
  return impl_->data ? impl_->data->norm_rows() : 0;
}

size_t ConvLayer::forward_workspace(int n) const {
  return impl_->forward->workspace(n);
}
size_t ConvLayer::backward_data_workspace(int n) const {
  return impl_->data ? impl_->data->workspace(n) : 0;
}
size_t ConvLayer::backward_weight_workspace(int n) const {
  return impl_->weight ? impl_->weight->workspace(n) : 0;
}

void ConvLayer::forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n,
                        void* workspace) {
  const Impl& m = *impl_;
  m.check("forward", y, x, n);
  ITO_CHECK(!epilogue.residual || epilogue.residual.type == m.type, "conv ", m.name, ": a residual of ",
            name_of(epilogue.residual.type), " on a layer of ", name_of(m.type));
  ITO_CHECK(!epilogue.moments || moment_rows(), "conv ", m.name, ": moments of a layer that makes none");
  ConvCall call{.x = x, .filters = m.filters("forward", 0), .result = y, .epilogue = epilogue, .n = n};
  call.workspace = workspace;
  m.forward->run(stream, call);
}

void ConvLayer::backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void* workspace,
                              const NormBefore& norm) {
  const Impl& m = *impl_;
  m.check("data gradient", dx, dy, n);
  ITO_CHECK(m.data, "conv ", m.name, ": a data gradient of a layer made without it");
  ITO_CHECK(!norm || norm_rows(), "conv ", m.name, ": a norm for a layer that takes none in");
  ConvCall call{
      .dy = dy, .filters = m.filters("data gradient", m.data_offset()), .result = dx, .write = write, .norm = norm};
  call.n = n;
  call.workspace = workspace;
  m.data->run(stream, call);
}

void ConvLayer::backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                                void* workspace) {
  const Impl& m = *impl_;
  m.check("weight gradient", dy, x, n);
  ITO_CHECK(m.weight && workspace, "conv ", m.name, ": a weight gradient needs a layer made with it and a workspace");
  ConvCall call{.x = x, .dy = dy, .dweight = dweight, .dbias = dbias, .n = n};
  call.workspace = workspace;
  m.weight->run(stream, call);
}

std::string ConvLayer::implementations() const {
  const Impl& m = *impl_;
  return "forward=" + m.forward->name() + (m.data ? " data=" + m.data->name() : "") +
         (m.weight ? " weight=" + m.weight->name() : "");
}

std::vector<KernelTiming> ConvLayer::time_choices(int n) const {
  const Impl& m = *impl_;
  std::vector<KernelTiming> all;
  const auto add = [&](ConvDirection direction, const ConvRunner* runner) {
    if (runner) std::ranges::move(time_conv_choices({m.shape, direction, m.type}, n), std::back_inserter(all));
  };
  add(ConvDirection::Forward, m.forward.get());
  add(ConvDirection::Data, m.data.get());
  add(ConvDirection::Weight, m.weight.get());
  return all;
}

KernelChoices ConvLayer::choices() const {
  const Impl& m = *impl_;
  KernelChoices made;
  const auto add = [&](ConvDirection direction, const ConvRunner* runner) {
    if (runner) made.emplace(text_of({m.shape, direction, m.type}), runner->name());
  };
  add(ConvDirection::Forward, m.forward.get());
  add(ConvDirection::Data, m.data.get());
  add(ConvDirection::Weight, m.weight.get());
  return made;
}

}  // namespace ito
