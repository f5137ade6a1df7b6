// SPDX-License-Identifier: Apache-2.0
// In sim a layer takes the portable kernels; what else there is runs where a kernel table asks for it.
#include "kernels/seams/lanes/tensor_conv.h"

namespace ito {

std::span<const ConvFamily* const> conv_families(const ConvTask&) {
  static constexpr const ConvFamily* kAll[] = {&kPortableConv, &kSm80Conv, &kSm90Conv};
  return kAll;
}

}  // namespace ito
