// SPDX-License-Identifier: Apache-2.0
// How long a launch takes.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/seams/device.h"

namespace ito {

// Seconds, the median of several groups of launches, after one that is not counted.
template <class Launch>
double time_launches(Stream& stream, const Launch& launch) {
  constexpr int kGroups = 7, kLaunches = 5;
  std::vector<double> seconds;
  for (int group = 0; group <= kGroups; ++group) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kLaunches; ++i) launch();
    stream.synchronize();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (group > 0) seconds.push_back(took.count() / kLaunches);
  }
  std::nth_element(seconds.begin(), seconds.begin() + kGroups / 2, seconds.end());
  return seconds[kGroups / 2];
}

}  // namespace ito
