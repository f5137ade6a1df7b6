// SPDX-License-Identifier: Apache-2.0
// The profiler's window on a GPU. The calls do nothing where no profiler is attached.
#include "kernels/seams/profiler.h"

#include <cuda_profiler_api.h>

#include "kernels/seams/cuda/stream.h"

namespace ito {

void profiler_start() {
  require_device();
  check_cuda(cudaProfilerStart(), "profiler start");
}

void profiler_stop() {
  check_cuda(cudaProfilerStop(), "profiler stop");
}

size_t captured_nodes(const Stream& stream) {
  if (!stream.capturing()) return 0;
  cudaStreamCaptureStatus status{};
  cudaGraph_t graph = nullptr;
  size_t count = 0;
#if CUDART_VERSION >= 13000
  check_cuda(cudaStreamGetCaptureInfo(stream.impl().handle, &status, nullptr, &graph, nullptr, nullptr, nullptr),
             "captured_nodes");
#else
  check_cuda(cudaStreamGetCaptureInfo_v2(stream.impl().handle, &status, nullptr, &graph, nullptr, nullptr),
             "captured_nodes");
#endif
  if (graph) check_cuda(cudaGraphGetNodes(graph, nullptr, &count), "captured_nodes");
  return count;
}

}  // namespace ito
