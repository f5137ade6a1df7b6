// SPDX-License-Identifier: Apache-2.0
// In sim attention is products with a softmax between them; what else there is runs where a kernel table asks for it.
#include "kernels/seams/lanes/tensor_attention.h"

namespace ito {

std::span<const AttentionFamily* const> attention_families() {
  static constexpr const AttentionFamily* kAll[] = {&kProductsAttention, &kSm80Attention};
  return kAll;
}

}  // namespace ito
