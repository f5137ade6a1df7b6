// SPDX-License-Identifier: Apache-2.0
// Statistics of a network by level: the running mean of its squared error in training, and the moments that a reverse
// option's variance and mixing are fitted from.
#pragma once
#include "kernels/diffusion/forward_row.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// For every image n of a step, in their order, and its level l = rows[n].level:
//   sums[l] = {decay sums[l][0] + 1, decay sums[l][1] + loss[n] / rows[n].weight},
// so that sums[l][1] / sums[l][0] is a mean of the errors, unweighted, over the last 1 / (1 - decay) images or so. A
// loss that is not finite, or of no weight, is passed over. sums (levels, 2), loss (N) of squared_loss, rows (N).
void accumulate_by_level(Stream& stream, double* sums, int levels, const float* loss, const ForwardRow* rows, int n,
                         double decay);

// How an image's answer and state are read for its moments: D = x0_from_x x_t + x0_from_pred answer, and the
// posterior's mean given x0, m = mean_from_x0 x0 + mean_from_x x_t.
struct MomentRow {
  float x0_from_x, x0_from_pred, mean_from_x0, mean_from_x;
};

// moments[n] = means over the image's numbers of {(target - answer)^2, (m - D)(x_t - D), (x_t - D)^2}, x_t and target
// made again from x0 and the counter's draws. moments (N, 3); pred (N, pixels, C), or with `wide` (N, pixels, 2C), of
// which the first C count; x0 (N, pixels, C); rows, moment_rows (N).
void level_moments(Stream& stream, double* moments, ConstDataRef pred, bool wide, const float* x0,
                   const ForwardRow* rows, const MomentRow* moment_rows, const SampleCounter& counter, int n,
                   int pixels, int c);

}  // namespace ito
