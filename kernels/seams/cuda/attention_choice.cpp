// SPDX-License-Identifier: Apache-2.0
// See attention_choice.h.
#include "kernels/seams/cuda/attention_choice.h"

#include <algorithm>

namespace ito::cuda {
namespace {

constexpr int kMostHeadDim = 256;

// (N, tokens, heads * head_dim) in memory, N x heads x tokens x head_dim to the library.
TensorInfo tokens_tensor(int64_t id, const AttentionShape& s) {
  const int64_t row = int64_t{1} * s.heads * s.head_dim;
  TensorInfo info;
  info.id = id;
  info.type = CUDNN_DATA_BFLOAT16;
  info.dims = {s.n, s.heads, s.tokens, s.head_dim};
  info.strides = {s.tokens * row, s.head_dim, row, 1};
  return info;
}

}  // namespace

bool library_attention_takes(const AttentionShape& shape, DType type) {
  return type == DType::BF16 && shape.head_dim % 8 == 0 && shape.head_dim <= kMostHeadDim;
}

OperationGraph attention_graph(const Target& target, const AttentionShape& s) {
  const Cudnn& api = *target.api;
  TensorInfo statistics;  // log-sum-exp, (N, heads, tokens)
  statistics.id = kStatistics;
  statistics.dims = {s.n, s.heads, s.tokens, 1};
  statistics.strides = {int64_t{1} * s.heads * s.tokens, s.tokens, 1, 1};
  statistics.alignment = 4;
  TensorInfo scale;
  scale.id = kScale;
  scale.dims = scale.strides = {1, 1, 1, 1};
  scale.alignment = 4;
  scale.by_value = true;

  OperationGraph graph;
  graph.operation = Descriptor(api, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR,
                               join_text("attention of ", s.tokens, " tokens, ", s.heads, " heads of ", s.head_dim));
  const auto add = [&](cudnnBackendAttributeName_t name, const TensorInfo& info) {
    graph.parts.push_back(make_tensor(api, info));
    graph.operation.set(name, graph.parts.back());
  };
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, tokens_tensor(kQuery, s));
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, tokens_tensor(kKey, s));
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, tokens_tensor(kValue, s));
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, tokens_tensor(kOut, s));
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, statistics);
  add(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
  finalize_graph(target, graph);
  return graph;
}

std::vector<EngineChoice> attention_candidates(const Target& target, const AttentionShape& shape) {
  const OperationGraph graph = attention_graph(target, shape);
  std::vector<EngineChoice> allowed;
  for (Candidate& candidate : heuristic_candidates(target, graph, CUDNN_HEUR_MODE_A, 16))
    if (cuts_no_sum(candidate.choice) &&
        std::all_of(candidate.notes.begin(), candidate.notes.end(), [](cudnnBackendNumericalNote_t note) {
          return note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
        }))
      allowed.push_back(std::move(candidate.choice));
  return allowed;
}

}  // namespace ito::cuda
