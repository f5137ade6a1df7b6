// SPDX-License-Identifier: Apache-2.0
// The kernel that steers a loop inside a graph. CUDA graphs' own words, so it stands with the seams.
#include <cuda_runtime.h>

#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

__global__ void loop_turn(cudaGraphConditionalHandle condition, unsigned* turns_left) {
  const unsigned left = *turns_left - 1;
  *turns_left = left;
  cudaGraphSetConditional(condition, left != 0);
}

}  // namespace

void launch_loop_turn(Stream& stream, unsigned long long condition, unsigned* turns_left) {
  loop_turn<<<1, 1, 0, stream.impl().handle>>>(condition, turns_left);
  check_cuda(cudaGetLastError(), "loop_turn");
}

const void* loop_turn_function() {
  return reinterpret_cast<const void*>(&loop_turn);
}

}  // namespace ito
