// SPDX-License-Identifier: Apache-2.0
// On a GPU attention takes the first that passes its trial. ITO_PORTABLE_KERNELS=1 leaves our own products alone.
#include "kernels/seams/cuda/cudnn_attention.h"

namespace ito {

std::span<const AttentionFamily* const> attention_families() {
  static constexpr const AttentionFamily* kAll[] = {&cuda::kCudnnAttention, &kProductsAttention};
  return kAll;
}

}  // namespace ito
