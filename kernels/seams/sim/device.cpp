// SPDX-License-Identifier: Apache-2.0
// The sim device: what distinguishes it from cpu beside the executor.
#include <algorithm>
#include <thread>

#include "kernels/seams/device.h"
#include "kernels/seams/host/memory.h"

namespace ito {
namespace {

int wanted_threads = 0;  // 0: all cores

}  // namespace

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

void set_device_threads(int threads) {
  wanted_threads = std::max(threads, 0);
}

int device_threads() {
  return wanted_threads ? wanted_threads : std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

}  // namespace ito
