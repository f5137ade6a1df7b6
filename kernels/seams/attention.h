// SPDX-License-Identifier: Apache-2.0
// The attention seam: softmax(scale * q k^T) v per image and head; q, k, v, out are (N, tokens, heads * head_dim),
// heads are contiguous channel slices. Softmax and sums in fp32.
#pragma once
#include <vector>

#include "kernels/seams/device.h"
#include "kernels/seams/kernel_table.h"

namespace ito {

// The widest head, on every device: what the portable kernels' tiles hold.
inline constexpr int kMaxHeadDim = 512;

struct AttentionShape {
  int n = 0, tokens = 0, heads = 0, head_dim = 0;  // n and heads at most 65535
  float scale = 1.0f;                              // 1 / sqrt(head_dim)
};

// Bytes; type: of the activations.
size_t attention_forward_workspace(const AttentionShape& shape, DType type);
size_t attention_backward_workspace(const AttentionShape& shape, DType type);

// lse (N, heads, tokens): log-sum-exp of the scaled logits, saved for the backward.
void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape, void* workspace);

// dq, dk, dv are set.
void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void* workspace);

// As ConvLayer::choices() and time_choices() (conv.h). backward: of both passes.
KernelChoices attention_choices(const AttentionShape& shape, DType type, bool backward);
std::vector<KernelTiming> time_attention_choices(const AttentionShape& shape, DType type, bool backward);

}  // namespace ito
