// SPDX-License-Identifier: Apache-2.0
// cuDNN's attention as one operation, forward only: cuDNN 9.19 has a descriptor for its gradient, but refuses every
// operation graph made of it.
#pragma once
#include <vector>

#include "kernels/seams/attention.h"
#include "kernels/seams/cuda/backend_graph.h"

namespace ito::cuda {

enum AttentionTensorId : int64_t {
  kQuery = 'q',
  kKey = 'k',
  kValue = 'v',
  kOut = 'o',
  kStatistics = 's',
  kScale = 'c'
};

// bf16, heads of a multiple of 8 elements and at most 256: what the engines of 9.19 take.
bool library_attention_takes(const AttentionShape& shape, DType type);
OperationGraph attention_graph(const Target& target, const AttentionShape& shape);
std::vector<EngineChoice> attention_candidates(const Target& target, const AttentionShape& shape);

}  // namespace ito::cuda
