// SPDX-License-Identifier: Apache-2.0
// Our tensor-core convolution (kernels/nn/conv_sm80.h) as a family of runners.
#pragma once
#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

extern const ConvFamily kSm80Conv;

}  // namespace ito
