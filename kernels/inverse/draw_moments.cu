// SPDX-License-Identifier: Apache-2.0
// See the header. An item is a number of a group's image: 4 bytes read a draw, 32 bytes a batch for the moments.
#include "kernels/inverse/draw_moments.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE void add_draws_item(int64_t i, double* moments, const float* x, int groups, int chunk, int draws, int before,
                           int64_t size) {
  const int64_t group = i / size, at = i - group * size, squares = groups * size;
  double mean = before > 0 ? moments[i] : 0.0, square = before > 0 ? moments[squares + i] : 0.0;
  for (int d = 0; d < draws; ++d) {
    const double value = x[(group * chunk + d) * size + at], delta = value - mean;
    mean += delta / (before + d + 1);
    square += delta * (value - mean);
  }
  moments[i] = mean;
  moments[squares + i] = square;
}

DEVICE void finish_draws_item(int64_t i, float* mean, float* deviation, const double* moments, int groups, int draws,
                              int64_t size) {
  mean[i] = static_cast<float>(moments[i]);
  const double square = moments[groups * size + i];
  deviation[i] = draws > 1 && square > 0 ? static_cast<float>(sqrt(square / (draws - 1))) : 0.0f;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void add_draws(Stream& stream, double* moments, const float* x, int groups, int chunk, int draws, int before,
               int64_t size) {
  ITO_CHECK(groups > 0 && draws >= 0 && draws <= chunk && before >= 0 && size > 0, "add_draws: ", groups, " groups, ",
            draws, " draws of ", chunk, " after ", before, ", size ", size);
  for_each<add_draws_item>("add_draws", groups * size, stream, moments, x, groups, chunk, draws, before, size);
}

void finish_draws(Stream& stream, float* mean, float* deviation, const double* moments, int groups, int draws,
                  int64_t size) {
  ITO_CHECK(groups > 0 && draws > 0 && size > 0, "finish_draws: ", groups, " groups, ", draws, " draws, size ", size);
  for_each<finish_draws_item>("finish_draws", groups * size, stream, mean, deviation, moments, groups, draws, size);
}

}  // namespace ito
