// SPDX-License-Identifier: Apache-2.0
// The dialect's clock where the device is the host (cpu and sim).
#pragma once
#include <time.h>

#include <cstdint>

namespace ito {

inline uint64_t clock_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace ito
