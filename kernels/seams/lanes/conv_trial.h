// SPDX-License-Identifier: Apache-2.0
// The trial of a runner on the device before a layer depends on it.
#pragma once
#include <string>

#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

// Runs it on invented data, with bias and residual where it takes them. Empty if its result is the portable kernel's up
// to rounding and comes again with the same bits: an image's alone and in batches of three, of a usual size and of
// twice that, because libraries run other forms of a kernel for few images than for many. Else why not. Where the
// images of such batches would take more than half a gigabyte they are as large as fits. Throws RunnerRefused if it
// refuses a batch.
std::string try_conv(const ConvTask& task, ConvRunner& runner);

// Seconds of a launch on n invented images (time_launches.h).
double time_conv(const ConvTask& task, ConvRunner& runner, int n);

}  // namespace ito
