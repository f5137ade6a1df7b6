// SPDX-License-Identifier: Apache-2.0
// What a network makes of the time alone, taken from tables that were made for all times of a run.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct TimeLine {
  float* to;          // (N, width)
  const float* from;  // (rows, width)
  int width;
};

// to[n] = from[*row] for every n below N, of `count` lines in device memory; row too.
void take_time_lines(Stream& stream, const TimeLine* lines, int count, const int64_t* row, int n);

}  // namespace ito
