// SPDX-License-Identifier: Apache-2.0
// On a GPU a layer takes the first that passes its trial: cuDNN's engines, our tensor-core kernels, the portable ones.
// A weight gradient in bf16 takes ours first: cuDNN's wants fp32 copies of x and dy and a call a chunk of images.
// ITO_PORTABLE_KERNELS=1 leaves the portable kernels alone, ITO_TENSOR_KERNELS=0 takes our tensor-core kernels out.
#include "kernels/seams/cuda/cudnn_conv.h"
#include "kernels/seams/lanes/tensor_conv.h"
#include "kernels/seams/lanes/tensor_kernels.h"

namespace ito {

std::span<const ConvFamily* const> conv_families(const ConvTask& task) {
  static constexpr const ConvFamily* kAll[] = {&cuda::kCudnnConv, &kSm80Conv, &kSm90Conv, &kPortableConv};
  static constexpr const ConvFamily* kOwnFirst[] = {&kSm80Conv, &cuda::kCudnnConv, &kSm90Conv, &kPortableConv};
  static constexpr const ConvFamily* kLibrary[] = {&cuda::kCudnnConv, &kPortableConv};
  if (!tensor_kernels_allowed()) return kLibrary;
  if (task.direction == ConvDirection::Weight && task.type == DType::BF16) return kOwnFirst;
  return kAll;
}

}  // namespace ito
