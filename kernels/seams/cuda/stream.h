// SPDX-License-Identifier: Apache-2.0
// What a stream and a graph are on a GPU, and where launches become ranges. Included by nvcc and by the seams' files.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/seams/device.h"
#include "kernels/seams/ranges.h"

namespace ito {

struct Graph::Impl {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  size_t nodes = 0;
};

struct Stream::Impl {
  cudaStream_t handle = nullptr;
  bool capturing = false;
};

// Throws Error naming the launch or call, CUDA's name of the error and its text.
inline void check_cuda(cudaError_t status, const char* name) {
  if (status != cudaSuccess) fail(name, ": ", cudaGetErrorName(status), ": ", cudaGetErrorString(status));
}

}  // namespace ito
