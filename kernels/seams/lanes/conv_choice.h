// SPDX-License-Identifier: Apache-2.0
// Which runner a direction of a convolution layer takes (choose.h).
#pragma once
#include "kernels/seams/lanes/choose.h"
#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

// A task is chosen for once in a process. Throws UserError where a binding table names what there is not.
std::unique_ptr<ConvRunner> choose_conv(const std::string& layer, const ConvTask& task);

// Every runner that the task could take, tried, and timed on n images where it passed.
std::vector<KernelTiming> time_conv_choices(const ConvTask& task, int n);

}  // namespace ito
