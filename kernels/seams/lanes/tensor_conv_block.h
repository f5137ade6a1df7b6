// SPDX-License-Identifier: Apache-2.0
// A block (seams/conv_block.h) on the tensor-core convolution of kernels/nn/conv_sm80.h.
#pragma once
#include "kernels/seams/conv_block.h"

namespace ito {

bool tensor_conv_block_takes(const ConvBlockShape& shape, DType type);
std::unique_ptr<ConvBlock> make_tensor_conv_block(const ConvBlockShape& shape, DType type);

}  // namespace ito
