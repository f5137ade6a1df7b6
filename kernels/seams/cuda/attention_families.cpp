// SPDX-License-Identifier: Apache-2.0
// On a GPU attention takes the first that passes its trial: cuDNN's where it is asked for, our tensor-core kernels,
// products with a softmax between them. ITO_PORTABLE_KERNELS=1 and ITO_TENSOR_KERNELS=0 leave the last alone.
#include "kernels/seams/cuda/cudnn_attention.h"
#include "kernels/seams/lanes/tensor_attention.h"
#include "kernels/seams/lanes/tensor_kernels.h"

namespace ito {

std::span<const AttentionFamily* const> attention_families() {
  static constexpr const AttentionFamily* kAll[] = {&cuda::kCudnnAttention, &kSm80Attention, &kProductsAttention};
  static constexpr const AttentionFamily* kLibrary[] = {&cuda::kCudnnAttention, &kProductsAttention};
  if (!tensor_kernels_allowed()) return kLibrary;
  return kAll;
}

}  // namespace ito
