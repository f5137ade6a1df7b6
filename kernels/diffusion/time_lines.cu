// SPDX-License-Identifier: Apache-2.0
// A row of each of a network's tables of time to all images of a batch, in one launch: a block owns a line of an image.
// Bytes an element: 4 read (from cache but for the first image of a row), 4 written.
// Refused: norms that read the table themselves, by the row's number: two loads more before each could begin, to spare
// kilobytes an image. A table with a row a call: a walk that climbs back comes by its times many times over.
#include "kernels/diffusion/time_lines.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = 128;

KERNEL void take_time_lines_kernel(const TimeLine* lines, TimeRows rows, int n) {
  const TimeLine line = lines[blockIdx.x / n];
  const int64_t image = blockIdx.x % n;
  const int64_t row = rows.of_calls[rows.call[rows.of_images ? image : 0]];
  const float* from = line.from + row * line.width;
  float* to = line.to + image * line.width;
  BLOCK_LOOP(i, line.width) to[i] = from[i];
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void take_time_lines(Stream& stream, const TimeLine* lines, int count, const TimeRows& rows, int n) {
  ITO_CHECK(lines && rows.of_calls && rows.call && count > 0 && n > 0, "take_time_lines: ", count, " lines for N ", n,
            ", expected positive numbers, and no null");
  launch<take_time_lines_kernel>("take_time_lines", Dim3(int64_t{1} * count * n), kThreads, 0, stream, lines, rows, n);
}

}  // namespace ito
