// SPDX-License-Identifier: Apache-2.0
// On a GPU a layer takes the first that passes its trial: cuDNN's engines, our own kernels. ITO_PORTABLE_KERNELS=1
// leaves the portable ones alone.
#include "kernels/seams/cuda/cudnn_conv.h"
#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

std::span<const ConvFamily* const> conv_families(const ConvTask&) {
  static constexpr const ConvFamily* kAll[] = {&cuda::kCudnnConv, &kPortableConv};
  return kAll;
}

}  // namespace ito
