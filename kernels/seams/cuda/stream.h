// SPDX-License-Identifier: Apache-2.0
// What a stream and a graph are on a GPU, and how a failed call is reported. Included by nvcc and by the seams' files.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "kernels/seams/device.h"
#include "kernels/seams/ranges.h"

namespace ito {

struct Graph::Impl {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  size_t nodes = 0;
  int launches = 1;  // of the executable, a replay: more than one for a loop that is not inside the graph
  unsigned* turns_left = nullptr;
};

struct Event::Impl {
  cudaEvent_t handle = nullptr;
  bool captured = false;
};

// Page-locked memory through which a copy from ordinary host memory goes, so that the host need not wait for it.
struct Staging {
  void* memory = nullptr;
  size_t bytes = 0;
  cudaEvent_t copied = nullptr;
};

struct Stream::Impl {
  cudaStream_t handle = nullptr;
  bool capturing = false;  // by its own begin_capture
  bool joined = false;     // has joined another stream's, which may have ended
  Staging staging[2];
  int next_staging = 0;
};

// A call that failed: Error with its name, CUDA's name of the error, its text, and the open ranges (step, layer,
// launch).
[[noreturn]] void fail_cuda(cudaError_t status, const char* name);

inline void check_cuda(cudaError_t status, const char* name) {
  if (status != cudaSuccess) fail_cuda(status, name);
}

// A launch of that name whose blocks want more shared memory than the card has.
[[noreturn]] void fail_shared_memory(size_t bytes, const char* name);

// After a launch of that name: its own error, or, where ITO_BLOCKING_LAUNCHES=1, also that of its run.
void check_launch(Stream& stream, const char* name);

// Shown by a profiler where NVTX's headers were found; else nothing.
void name_for_profiler(cudaStream_t stream, const char* name);
void name_for_profiler(cudaEvent_t event, const char* name);

// What the runtime says of the first GPU.
struct DeviceFacts {
  int runtime = 0, driver = 0;  // 1000 major + 10 minor; driver 0: none
  int count = 0;
  cudaError_t status = cudaSuccess;  // of asking for the device
  std::string name;
  int major = 0, minor = 0;
  cudaError_t code = cudaSuccess;  // of asking for a kernel's code for it
};
std::string why_unusable(const DeviceFacts& facts);  // one line; empty if the GPU can be used

// UserError in one line if no GPU can be used: no driver, no device, one that is too old, or one that this program
// has no code for. Asked once; later calls cost nothing.
void require_device();
bool device_usable();

// The last kernel of a loop's body: counts the turn and tells the loop's node whether another follows.
void launch_loop_turn(Stream& stream, unsigned long long condition, unsigned* turns_left);
const void* loop_turn_function();  // for asking whether the program has code for this card

}  // namespace ito
