// SPDX-License-Identifier: Apache-2.0
// How many threads the host's devices work with: what was asked for, or all cores.
#include "kernels/seams/host/threads.h"

#include <algorithm>

#include "kernels/seams/device.h"

namespace ito {
namespace {

int wanted_threads = 0;  // 0: all cores

}  // namespace

void set_device_threads(int threads) {
  wanted_threads = std::max(threads, 0);
}

int device_threads() {
  return wanted_threads ? wanted_threads : usable_cores();
}

}  // namespace ito
