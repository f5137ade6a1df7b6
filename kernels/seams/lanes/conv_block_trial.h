// SPDX-License-Identifier: Apache-2.0
// The trial of a block before a layer depends on it, and its time.
#pragma once
#include "kernels/seams/conv_block.h"

namespace ito {

// Empty if forward and gradients have the portable kernels' values up to rounding, and an image its bits alone and
// among others; else why not.
std::string try_conv_block(const ConvBlockShape& shape, DType type, ConvBlock& block);
// Seconds of a forward and, where wanted, of all gradients, on n images.
double time_block(const ConvBlockShape& shape, DType type, ConvBlock& block, bool gradients, int n);

}  // namespace ito
