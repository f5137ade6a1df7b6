// SPDX-License-Identifier: Apache-2.0
// cuDNN's engines as runners of a convolution layer, where one keeps the seam's promises (conv_choice.h).
#pragma once
#include "kernels/seams/lanes/conv_runner.h"

namespace ito::cuda {

extern const ConvFamily kCudnnConv;

}  // namespace ito::cuda
