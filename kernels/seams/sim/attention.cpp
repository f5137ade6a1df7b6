// SPDX-License-Identifier: Apache-2.0
// Attention in sim: what the CUDA build runs without cuDNN's, with the portable matrix product.
#include "kernels/seams/lanes/own_attention.h"

namespace ito {

size_t attention_forward_workspace(const AttentionShape& shape, DType type) {
  return own_attention_forward_workspace(shape, type);
}

void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape, void* workspace) {
  own_attention_forward(stream, out, lse, q, k, v, shape, workspace);
}

size_t attention_backward_workspace(const AttentionShape& shape, DType type) {
  return own_attention_backward_workspace(shape, type);
}

void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void* workspace) {
  own_attention_backward(stream, dq, dk, dv, dout, out, lse, q, k, v, shape, workspace);
}

}  // namespace ito
