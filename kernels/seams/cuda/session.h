// SPDX-License-Identifier: Apache-2.0
// The program's cuDNN handle, and leave to call what a capture forbids.
#pragma once
#include <cuda_runtime_api.h>

#include <mutex>

#include "kernels/seams/cuda/backend_graph.h"
#include "kernels/seams/device.h"

namespace ito::cuda {

// cuDNN on this program's card. One call at a time: a handle has one stream.
struct Session {
  const Cudnn* api = nullptr;
  cudnnHandle_t handle = nullptr;
  std::mutex mutex;
  Target target() const { return {api, handle, nullptr}; }
};
cudaStream_t native_stream(Stream& stream);
void check_launched(Stream& stream, const char* name);  // check_launch() of stream.h

// null: no library, no card, or ITO_PORTABLE_KERNELS=1. A handle that cannot be had warns once.
Session* session();

// While one lives, this thread may make calls that a capture on it forbids elsewhere (an allocation, a module loaded).
// What a capture records is not touched: plans are made by host work alone.
class AllowCallsInCapture {
 public:
  AllowCallsInCapture();
  ~AllowCallsInCapture();
  AllowCallsInCapture(const AllowCallsInCapture&) = delete;
  AllowCallsInCapture& operator=(const AllowCallsInCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace ito::cuda
