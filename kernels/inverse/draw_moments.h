// SPDX-License-Identifier: Apache-2.0
// Mean and standard deviation over the draws of a measurement, one draw after the other in their order (Welford 1962),
// in double, so that neither the batch nor a cut of it changes a bit.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// moments (2, groups, size): the mean so far, and the sum of squares about it. x (groups, chunk, size), of which the
// first `draws` of every group count; `before`: draws that the moments have already, 0 to begin anew.
void add_draws(Stream& stream, double* moments, const float* x, int groups, int chunk, int draws, int before,
               int64_t size);
// mean, deviation (groups, size) of `draws` draws; draws - 1 stands below the root, and the deviation of one draw is 0.
void finish_draws(Stream& stream, float* mean, float* deviation, const double* moments, int groups, int draws,
                  int64_t size);

}  // namespace ito
