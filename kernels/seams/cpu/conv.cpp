// SPDX-License-Identifier: Apache-2.0
// Convolution on the cpu: oneDNN's direct kernels, or Winograd's tiles around its matrix products. One image (or row
// band of one) a call for the forward and the data gradient, one chunk of images a call for the weight gradient, our
// own OpenMP around them. A layer holds memory objects a worker: one call on a layer at a time.
#include "kernels/seams/conv.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "dialect.h"
#include "kernels/nn/sum_tree.cuh"
#include "kernels/seams/cpu/conv_plan.h"
#include "kernels/seams/cpu/few_outputs.h"
#include "kernels/seams/cpu/winograd.h"
#include "kernels/seams/host/stream.h"

namespace ito {
namespace {

using onednn::Band;
using onednn::Call;
using onednn::ImagePlan;

constexpr int64_t kWaveBytes = int64_t{32} << 20;  // memory for the partials of a weight gradient, at least kMinWave
constexpr int64_t kMinWave = 8;

char* at(void* base, size_t offset) {
  return static_cast<char*>(base) + offset;
}
const char* at(const void* base, size_t offset) {
  return static_cast<const char*>(base) + offset;
}

// What the library does not do, on pixels that are still in cache: y = scale * (y + residual).
template <class T>
void finish(T* __restrict y, const T* __restrict residual, float scale, int64_t count) {
  if (residual)
    for (int64_t i = 0; i < count; ++i) y[i] = from_float<T>(scale * (to_float(y[i]) + to_float(residual[i])));
  else if (scale != 1.0f)
    for (int64_t i = 0; i < count; ++i) y[i] = from_float<T>(scale * to_float(y[i]));
}

template <class T>
void add_to(T* __restrict to, const T* __restrict from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from_float<T>(to_float(to[i]) + to_float(from[i]));
}

// Subtree `arrival` of the chunks' partials: its leaves' sum goes to its slot, and is joined with those that wait.
// Slots and leaves are `distance` apart; a span of them all stays in the first cache.
void fold(float* slots, const float* leaves, int64_t count, TreeArrival arrival, int64_t distance, int64_t elements) {
  constexpr int kSpan = 1024;
  onednn::parallel_items(ceil_div(elements, kSpan), [&](int64_t item, int) {
    const int64_t begin = item * kSpan, width = std::min<int64_t>(kSpan, elements - begin);
    float* slot = slots + arrival.slot * distance + begin;
    fold_leaves<kSpan, 1>(slot, leaves + begin, count, distance, 0, static_cast<int>(width));
    for (int join = 0; join < arrival.joins; ++join, slot -= distance) add_to(slot - distance, slot, width);
  });
}

}  // namespace

struct ConvLayer::Impl {
  std::string name, forward_name, data_name, weight_name, pack_name;
  ConvShape shape;
  DType type;
  ConvGradients gradients;
  int chunk = images_per_chunk();

  ImagePlan forward, data;
  onednn::WeightPlan weight;
  Call pack_forward, pack_data, weight_out;
  // In place of the plans above, where the layer gains by it.
  std::optional<winograd::ImageConv> tiled_forward, tiled_data;
  std::optional<winograd::WeightGradient> tiled_weight;
  std::optional<FewOutputs> few;     // forward and weight gradient
  bool data_shares_filters = false;  // the data gradient reads the forward's copy
  std::vector<float> no_bias;
  void* packed = nullptr;

  int64_t x_count() const { return int64_t{1} * shape.h * shape.w * shape.c; }
  int64_t y_count() const { return int64_t{1} * shape.out_h() * shape.out_w() * shape.k; }
  size_t forward_filters_bytes() const {
    if (tiled_forward) return tiled_forward->packed_bytes();
    return few ? few->packed_bytes() : forward.filters.get_size();
  }
  size_t data_filters_bytes() const { return tiled_data ? tiled_data->packed_bytes() : data.filters.get_size(); }
  bool second_filters() const { return gradients.data && !data_shares_filters; }
  size_t data_filters_offset() const { return data_shares_filters ? 0 : aligned(forward_filters_bytes()); }

  // Workspace of the weight gradient: the sums of finished subtrees (filters, bias), then a wave of partials alike. A
  // wave is a subtree: a power of two of chunks.
  bool own_weight() const { return tiled_weight || (few && gradients.weight); }  // partials are as the masters
  size_t filters_bytes() const { return own_weight() ? sizeof(float) * shape.weights() : weight.filters.get_size(); }
  int64_t filters_count() const { return static_cast<int64_t>(filters_bytes() / sizeof(float)); }
  int64_t partial_count() const {
    return static_cast<int64_t>(aligned(filters_bytes()) + aligned(sizeof(float) * shape.k)) / sizeof(float);
  }
  int64_t bias_offset() const { return static_cast<int64_t>(aligned(filters_bytes()) / sizeof(float)); }
  int64_t wave(int n) const {
    const int64_t fit = kWaveBytes / (partial_count() * static_cast<int64_t>(sizeof(float)));
    const auto most = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max(fit, kMinWave))));
    return std::min(ceil_div(n, chunk), most);
  }
  int64_t waves(int n) const { return ceil_div(ceil_div(n, chunk), wave(n)); }

  void check(const char* direction, ConstDataRef a, ConstDataRef b, int n) const {
    ITO_CHECK(packed, "conv ", name, ": ", direction, " before bind(); give it the memory for packed filters first");
    ITO_CHECK(a.type == type && b.type == type, "conv ", name, ": ", direction, " of ", name_of(a.type), " and ",
              name_of(b.type), " tensors; the layer was made for ", name_of(type));
    ITO_CHECK(n > 0, "conv ", name, ": ", direction, " of ", n, " images");
  }

  // Runs the plan on all (image, band) pairs, then `after(worker's image, band)` while the band is in cache.
  template <class Each>
  void each_band(ImagePlan& plan, int n, const Each& each) {
    for (Call& call : plan.calls) call.prepare(device_threads());
    const int64_t bands = static_cast<int64_t>(plan.bands.size());
    onednn::parallel_items(n * bands, [&](int64_t item, int worker) {
      const Band& band = plan.bands[static_cast<size_t>(item % bands)];
      each(plan.calls[static_cast<size_t>(band.call)], band, item / bands, worker);
    });
  }

  void run_forward(DataRef y, ConstDataRef x, const ConvEpilogue& e, int n) {
    if (tiled_forward)
      return tiled_forward->run(y.as<float>(), x.as<float>(), {e.bias, e.residual.as<float>(), e.scale}, n);
    if (few) return few->forward(y, x, e, n);
    const size_t element = size_of(type);
    const void* bias = e.bias ? e.bias : no_bias.data();
    each_band(forward, n, [&](Call& call, const Band& band, int64_t image, int worker) {
      const size_t produced = element * (image * y_count() + band.produced_offset);
      char* out = at(y.data, produced);
      call.run(worker, {at(x.data, element * (image * x_count() + band.consumed_offset)), nullptr, bias, out});
      by_type(type, [&](auto t) {
        using T = decltype(t);
        const char* residual = e.residual ? at(e.residual.data, produced) : nullptr;
        finish(reinterpret_cast<T*>(out), reinterpret_cast<const T*>(residual), e.scale, band.pixels * shape.k);
      });
    });
  }

  void run_backward_data(DataRef dx, Write write, ConstDataRef dy, int n) {
    if (tiled_data) {
      winograd::Epilogue epilogue;
      epilogue.add = write == Write::Add;
      return tiled_data->run(dx.as<float>(), dy.as<float>(), epilogue, n);
    }
    const size_t element = size_of(type);
    each_band(data, n, [&](Call& call, const Band& band, int64_t image, int worker) {
      const char* in = at(dy.data, element * (image * y_count() + band.consumed_offset));
      char* out = at(dx.data, element * (image * x_count() + band.produced_offset));
      const int64_t count = band.pixels * shape.c;
      if (write == Write::Set) return call.run(worker, {in, nullptr, out});
      void* scratch = onednn::thread_scratch(onednn::Scratch::X, element * count);
      call.run(worker, {in, nullptr, scratch});
      by_type(type, [&](auto t) {
        using T = decltype(t);
        add_to(reinterpret_cast<T*>(out), static_cast<const T*>(scratch), count);
      });
    });
  }

  // The chunk's images, or a copy followed by zeros where the batch ends inside the chunk: zeros add nothing.
  const void* chunk_images(onednn::Scratch which, const void* data, int64_t image_bytes, int64_t first, int n) const {
    const char* images = at(data, first * image_bytes);
    const int64_t have = std::min<int64_t>(chunk, n - first);
    if (have == chunk) return images;
    char* copy = static_cast<char*>(onednn::thread_scratch(which, chunk * image_bytes));
    memcpy(copy, images, have * image_bytes);
    memset(copy + have * image_bytes, 0, (chunk - have) * image_bytes);
    return copy;
  }

  void run_backward_weight(float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n, float* workspace) {
    if (tiled_weight)
      tiled_weight->prepare(device_threads());
    else if (few)
      few->prepare(device_threads());
    else
      weight.call.prepare(device_threads());
    const int64_t element = static_cast<int64_t>(size_of(type));
    float* sums = workspace;
    float* partials = workspace + tree_slots(waves(n)) * partial_count();
    const int64_t chunks = ceil_div(n, chunk), most = wave(n);
    for (int64_t first = 0; first < chunks; first += most) {
      const int64_t count = std::min(most, chunks - first);
      onednn::parallel_items(count, [&](int64_t i, int worker) {
        const int64_t image = (first + i) * chunk;
        float* partial = partials + i * partial_count();
        const int have = static_cast<int>(std::min<int64_t>(chunk, n - image));
        if (tiled_weight)
          return tiled_weight->run(worker, partial, partial + bias_offset(), x.as<float>() + image * x_count(),
                                   dy.as<float>() + image * y_count(), have);
        if (few)
          return few->backward_weight(worker, partial, partial + bias_offset(), at(x.data, element * image * x_count()),
                                      at(dy.data, element * image * y_count()), have);
        weight.call.run(worker, {chunk_images(onednn::Scratch::X, x.data, element * x_count(), image, n),
                                 chunk_images(onednn::Scratch::Dy, dy.data, element * y_count(), image, n), partial,
                                 partial + bias_offset()});
      });
      const TreeArrival arrival = tree_arrival(first / most, waves(n));
      fold(sums, partials, count, arrival, partial_count(), filters_count());
      fold(sums + bias_offset(), partials + bias_offset(), count, arrival, partial_count(), shape.k);
    }
    if (own_weight()) {
      memcpy(dweight, sums, filters_bytes());
    } else {
      const onednn::OneThread one;
      weight_out.prepare(1);
      weight_out.run(0, {sums, dweight});
    }
    if (dbias) memcpy(dbias, sums + bias_offset(), sizeof(float) * shape.k);
  }
};

ConvLayer::ConvLayer(const char* name, const ConvShape& shape, DType type, ConvGradients gradients)
    : impl_(std::make_unique<Impl>()) {
  check_conv_shape(name, shape);
  Impl& m = *impl_;
  m.name = name;
  m.forward_name = m.name + " forward";
  m.data_name = m.name + " backward_data";
  m.weight_name = m.name + " backward_weight";
  m.pack_name = m.name + " pack";
  m.shape = shape;
  m.type = type;
  m.gradients = gradients;
  m.no_bias.assign(static_cast<size_t>(shape.k), 0.0f);
  if (winograd::takes(shape, type)) {
    m.tiled_forward.emplace(winograd::forward_geometry(shape), false);
    if (gradients.data) m.tiled_data.emplace(winograd::data_geometry(shape), true);
    if (gradients.weight) m.tiled_weight.emplace(shape);
    return;
  }
  if (FewOutputs::takes(shape)) {
    m.few.emplace(shape, type, gradients.weight);
  } else {
    m.forward = onednn::plan_forward(name, shape, type);
    m.pack_forward = onednn::plan_reorder(onednn::masters(shape), m.forward.filters);
  }
  if (gradients.data) {
    m.data = onednn::plan_backward_data(name, shape, type);
    m.data_shares_filters = !m.few && m.data.filters == m.forward.filters;
    if (!m.data_shares_filters) m.pack_data = onednn::plan_reorder(onednn::masters(shape), m.data.filters);
  }
  if (!gradients.weight || m.few) return;
  m.weight = onednn::plan_backward_weight(name, shape, type, m.chunk);
  m.weight_out = onednn::plan_reorder(m.weight.filters, onednn::masters(shape));
}

ConvLayer::~ConvLayer() = default;

const ConvShape& ConvLayer::shape() const {
  return impl_->shape;
}

size_t ConvLayer::packed_bytes() const {
  const Impl& m = *impl_;
  return aligned(m.forward_filters_bytes()) + (m.second_filters() ? aligned(m.data_filters_bytes()) : 0);
}

void ConvLayer::bind(void* packed) {
  Impl& m = *impl_;
  constexpr size_t kFilters = 1;
  m.packed = packed;
  if (m.tiled_forward) m.tiled_forward->bind(packed);
  if (m.few) m.few->bind(packed);
  if (m.tiled_data) m.tiled_data->bind(at(packed, m.data_filters_offset()));
  for (Call& call : m.forward.calls) call.fix(kFilters, packed);
  for (Call& call : m.data.calls) call.fix(kFilters, at(packed, m.data_filters_offset()));
}

bool ConvLayer::takes_rounded_masters() const {
  return false;
}

void ConvLayer::pack(Stream& stream, const float* weight) {
  Impl* m = impl_.get();
  ITO_CHECK(m->packed, "conv ", m->name, ": pack before bind()");
  submit(stream, m->pack_name.c_str(), [m, weight] {
    if (m->tiled_forward) {
      m->tiled_forward->pack(weight);
      if (m->tiled_data) m->tiled_data->pack(weight);
      return;
    }
    if (m->few) m->few->pack(weight);
    const bool second = m->second_filters();
    if (m->pack_forward) m->pack_forward.prepare(2);
    if (second) m->pack_data.prepare(2);
    onednn::parallel_items(second ? 2 : 1, [&](int64_t i, int worker) {
      if (i == 1)
        m->pack_data.run(worker, {weight, at(m->packed, m->data_filters_offset())});
      else if (m->pack_forward)
        m->pack_forward.run(worker, {weight, m->packed});
    });
  });
}

int ConvLayer::moment_rows() const {
  return 0;
}

int ConvLayer::norm_rows() const {
  return 0;
}

size_t ConvLayer::forward_workspace(int) const {
  return 0;
}
size_t ConvLayer::backward_data_workspace(int) const {
  return 0;
}
size_t ConvLayer::backward_weight_workspace(int n) const {
  if (!impl_->gradients.weight) return 0;
  return sizeof(float) * impl_->partial_count() * (tree_slots(impl_->waves(n)) + impl_->wave(n));
}

void ConvLayer::forward(Stream& stream, DataRef y, ConstDataRef x, const ConvEpilogue& epilogue, int n, void*) {
  Impl* m = impl_.get();
  m->check("forward", y, x, n);
  ITO_CHECK(!epilogue.residual || epilogue.residual.type == m->type, "conv ", m->name, ": a residual of ",
            name_of(epilogue.residual.type), " on a layer of ", name_of(m->type));
  submit(stream, m->forward_name.c_str(), [=] { m->run_forward(y, x, epilogue, n); });
}

void ConvLayer::backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, int n, void*,
                              const NormBefore& norm) {
  Impl* m = impl_.get();
  ITO_CHECK(!norm, "conv ", m->name, ": a norm for a layer that takes none in");
  m->check("data gradient", dx, dy, n);
  ITO_CHECK(m->gradients.data, "conv ", m->name, ": a data gradient of a layer made without it");
  submit(stream, m->data_name.c_str(), [=] { m->run_backward_data(dx, write, dy, n); });
}

void ConvLayer::backward_weight(Stream& stream, float* dweight, float* dbias, ConstDataRef dy, ConstDataRef x, int n,
                                void* workspace) {
  Impl* m = impl_.get();
  m->check("weight gradient", dy, x, n);
  ITO_CHECK(m->gradients.weight && workspace, "conv ", m->name,
            ": a weight gradient needs a layer made with it and a workspace");
  submit(stream, m->weight_name.c_str(),
         [=] { m->run_backward_weight(dweight, dbias, dy, x, n, static_cast<float*>(workspace)); });
}

KernelChoices ConvLayer::choices() const {
  return {};
}
std::vector<KernelTiming> ConvLayer::time_choices(int) const {
  return {};
}

std::string ConvLayer::implementations() const {
  const Impl& m = *impl_;
  std::string out;
  const auto append = [&](const char* what, const std::vector<Call>& calls) {
    for (const Call& call : calls) out += std::string(out.empty() ? "" : " ") + what + "=" + call.name();
  };
  if (m.tiled_forward) {
    const auto tiled = [&](const char* what, const winograd::ImageConv& conv) {
      for (int band = 0; band < conv.bands(); ++band) out += std::string(out.empty() ? "" : " ") + what + conv.name();
    };
    tiled("forward=", *m.tiled_forward);
    if (m.tiled_data) tiled("data=", *m.tiled_data);
    if (m.tiled_weight) out += " weight=" + m.tiled_weight->name();
    return out;
  }
  if (m.few)
    out = "forward=" + m.few->name();
  else
    append("forward", m.forward.calls);
  append("data", m.data.calls);
  if (m.few && m.gradients.weight) out += " weight=" + m.few->weight_name();
  if (m.weight.call) append("weight", {m.weight.call});
  if (m.pack_forward) append("reorder", {m.pack_forward});
  if (m.pack_data) append("reorder", {m.pack_data});
  if (m.weight_out) append("reorder", {m.weight_out});
  return out;
}

}  // namespace ito
