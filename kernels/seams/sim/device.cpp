// SPDX-License-Identifier: Apache-2.0
// The sim device: what distinguishes it from cpu beside the executor.
#include <algorithm>
#include <thread>

#include "kernels/seams/device.h"
#include "kernels/seams/host/memory.h"
#include "kernels/seams/host/threads.h"

namespace ito {

bool poison_is_nan() {
  return true;
}

bool guards_memory() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

const char* device_name() {
  return "sim";
}

bool device_has_bf16() {
  return true;
}  // emulated by mma_tile

int images_per_chunk() {
  return 4;
}

int usable_cores() {
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

}  // namespace ito
