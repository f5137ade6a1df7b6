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

// The row that an image takes, by the number of its call: several calls at one time share a row. In device memory.
struct TimeRows {
  const int32_t* of_calls;  // (calls)
  const int64_t* call;      // one for all images, or (N)
  bool of_images;           // the latter
};

// to[n] = from[the row of image n] for every n below N, of `count` lines in device memory.
void take_time_lines(Stream& stream, const TimeLine* lines, int count, const TimeRows& rows, int n);

}  // namespace ito
