// SPDX-License-Identifier: Apache-2.0
// oneDNN has no such convolution: a block is always apart.
#include "kernels/seams/conv_block.h"

namespace ito {

std::unique_ptr<ConvBlock> make_conv_block(const char*, const ConvBlockShape&, DType) {
  return nullptr;
}
KernelChoices conv_block_choices(const ConvBlockShape&, DType, const ConvBlock*) {
  return {};
}
std::vector<KernelTiming> time_conv_block(const ConvBlockShape&, DType, bool, int, const std::vector<KernelTiming>&) {
  return {};
}

}  // namespace ito
