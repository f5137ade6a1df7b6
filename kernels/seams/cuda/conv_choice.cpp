// SPDX-License-Identifier: Apache-2.0
// Descriptors of a layer's three convolutions, and what may run them.
#include "kernels/seams/cuda/conv_choice.h"

#include <algorithm>
#include <cmath>

namespace ito::cuda {
namespace {

constexpr int64_t kMostCandidates = 32;  // a heuristics' answer

cudnnDataType_t cudnn_type(DType type) {
  return type == DType::F32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

Descriptor convolution(const Cudnn& api, const ConvShape& s) {
  Descriptor d(api, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::vector<int64_t>{1, 1});
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::vector<int64_t>{s.stride, s.stride});
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::vector<int64_t>{s.pad_top, s.pad_left});
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::vector<int64_t>{s.pad_bottom, s.pad_right});
  d.finalize();
  return d;
}

struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t alpha, beta, convolution, x, filters, y;
};

OperationNames names_of(Direction direction) {
  switch (direction) {
    case Direction::Forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
    case Direction::Data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
  }
}

// What a kernel is, not how its grid is shared out; and knobs whose values cuts_no_sum() has looked at.
bool known_knob(int type) {
  switch (type) {
    case CUDNN_KNOB_TYPE_TILE_SIZE:
    case CUDNN_KNOB_TYPE_USE_TEX:
    case CUDNN_KNOB_TYPE_KBLOCK:
    case CUDNN_KNOB_TYPE_TILEK:
    case CUDNN_KNOB_TYPE_STAGES:
    case CUDNN_KNOB_TYPE_REDUCTION_MODE:  // of a split, which there is none of
    case CUDNN_KNOB_TYPE_IDX_MODE:
    case CUDNN_KNOB_TYPE_LDGC:
    case CUDNN_KNOB_TYPE_SPECFILT:
    case CUDNN_KNOB_TYPE_TILE_CGA_M:
    case CUDNN_KNOB_TYPE_TILE_CGA_N:
    case CUDNN_KNOB_TYPE_SPLIT_K:
    case CUDNN_KNOB_TYPE_SPLIT_K_BUF:
    case CUDNN_KNOB_TYPE_SPLIT_K_SLC:
    case CUDNN_KNOB_TYPE_STREAM_K:
    case CUDNN_KNOB_TYPE_WORKSPACE:
      return true;
    default:
      return false;
  }
}

// From one image to more than fill a card. Few share a divisor: some leave tiles over, whatever the number of
// multiprocessors is.
constexpr int kProbedN[] = {1, 2, 3, 5, 9, 13, 19, 29, 37, 64, 100, 128, 129, 200, 257};

}  // namespace

std::string ConvKey::text() const {
  return text_of({shape, direction, type}) + (holds_bf16 ? " that holds bf16" : "");
}

int64_t alignment_of(int64_t elements, DType type) {
  const int64_t bytes = elements * static_cast<int64_t>(size_of(type));
  return std::min<int64_t>(16, bytes & -bytes);
}

int64_t filters_alignment(const ConvKey& key) {
  return key.direction == Direction::Weight ? alignment_of(key.shape.weights(), key.type) : 16;
}

TensorInfo nhwc_tensor(int64_t id, DType type, int64_t n, int64_t h, int64_t w, int64_t c, int64_t alignment) {
  TensorInfo info;
  info.id = id;
  info.type = cudnn_type(type);
  info.dims = {n, c, h, w};
  info.strides = {h * w * c, 1, w * c, c};
  info.alignment = alignment;
  return info;
}

OperationGraph conv_graph(const Target& target, const ConvKey& key, int n) {
  const Cudnn& api = *target.api;
  const ConvShape& s = key.shape;
  const OperationNames names = names_of(key.direction);
  const int64_t x_count = int64_t{1} * s.h * s.w * s.c, y_count = int64_t{1} * s.out_h() * s.out_w() * s.k;
  OperationGraph graph;
  graph.parts.push_back(convolution(api, s));
  graph.parts.push_back(make_tensor(api, nhwc_tensor(kX, key.type, n, s.h, s.w, s.c, alignment_of(x_count, key.type))));
  graph.parts.push_back(make_tensor(api, nhwc_tensor(kFilters, key.type, s.k, s.r, s.s, s.c, filters_alignment(key))));
  graph.parts.push_back(
      make_tensor(api, nhwc_tensor(kY, key.type, n, s.out_h(), s.out_w(), s.k, alignment_of(y_count, key.type))));
  graph.operation = Descriptor(api, names.type, key.text());
  graph.operation.set(names.alpha, 1.0f);
  graph.operation.set(names.beta, 0.0f);
  graph.operation.set(names.convolution, graph.parts[0]);
  graph.operation.set(names.x, graph.parts[1]);
  graph.operation.set(names.filters, graph.parts[2]);
  graph.operation.set(names.y, graph.parts[3]);
  finalize_graph(target, graph);
  return graph;
}

bool allowed_notes(const ConvKey& key, const std::vector<cudnnBackendNumericalNote_t>& notes) {
  for (const cudnnBackendNumericalNote_t note : notes) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        break;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        if (key.type == DType::F32 && !key.holds_bf16) return false;  // TF32
        break;
      default:  // not deterministic, sums below fp32, other algorithms (FFT, Winograd), inputs made shorter
        return false;
    }
  }
  return true;
}

bool allowed_knobs(const ConvKey& key, const EngineChoice& choice) {
  if (key.direction == Direction::Weight) return true;  // which runs for one N only
  return cuts_no_sum(choice) && std::all_of(choice.knobs.begin(), choice.knobs.end(),
                                            [](const auto& knob) { return known_knob(static_cast<int>(knob.first)); });
}

bool WorkspaceLine::holds(int n, size_t bytes) const {
  const double expected = of_one + each_further * (n - 1);
  return std::fabs(static_cast<double>(bytes) - expected) <= 4096.0 + n;  // n: the slope is known to half a byte
}

std::optional<WorkspaceLine> workspace_line(const Target& target, const ConvKey& key, const EngineChoice& choice) {
  std::vector<size_t> bytes;
  for (const int n : kProbedN) bytes.push_back(Plan(target, conv_graph(target, key, n), choice).workspace());
  WorkspaceLine line;
  line.of_one = static_cast<double>(bytes.front());
  line.each_further = (static_cast<double>(bytes.back()) - line.of_one) / (kProbedN[std::size(kProbedN) - 1] - 1);
  for (size_t i = 0; i < bytes.size(); ++i)
    if (!line.holds(kProbedN[i], bytes[i])) return std::nullopt;
  return line;
}

std::vector<EngineChoice> conv_candidates(const Target& target, const ConvKey& key, int n) {
  const OperationGraph graph = conv_graph(target, key, n);
  std::vector<EngineChoice> allowed;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    std::vector<Candidate> candidates;
    try {
      candidates = heuristic_candidates(target, graph, mode, kMostCandidates);
    } catch (const CudnnError&) {
      continue;  // no answer in this mode for this graph
    }
    for (Candidate& candidate : candidates) {
      if (!allowed_notes(key, candidate.notes) || !allowed_knobs(key, candidate.choice)) continue;
      const std::string name = candidate.choice.name();
      if (std::none_of(allowed.begin(), allowed.end(), [&](const EngineChoice& c) { return c.name() == name; }))
        allowed.push_back(std::move(candidate.choice));
    }
  }
  return allowed;
}

}  // namespace ito::cuda
