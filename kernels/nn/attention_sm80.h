// SPDX-License-Identifier: Apache-2.0
// Attention in bf16 on tensor cores, in one pass over the keys (Dao et al. 2022, Dao 2023): neither scores nor
// probabilities go to memory. out_i = sum_j p_ij v_j with p_ij = e^(scale q_i . k_j - lse_i); gradients as in
// attention_backward_sm80.cu. Shapes and meanings as in kernels/seams/attention.h; q, k and v may be slices of one
// tensor. An image's bits depend on tokens, head width and scale alone.
#pragma once
#include "kernels/seams/attention.h"

namespace ito {

// Where a head's row of head_dim elements begins: image * tokens * token + t * token + h * head.
struct AttentionStrides {
  int token = 0, head = 0;  // elements; multiples of 8
};

struct AttentionLayout {
  AttentionStrides qkv, out;  // of q, k, v, dq, dk, dv; of out, dout

  // (N, tokens, heads * head_dim) each.
  static AttentionLayout separate(const AttentionShape& s) {
    const AttentionStrides rows{s.heads * s.head_dim, s.head_dim};
    return {rows, rows};
  }
  // q, k, v are the thirds of the rows of one (N, tokens, 3 * heads * head_dim), from base, base + heads * head_dim and
  // base + 2 * heads * head_dim; their gradients alike.
  static AttentionLayout packed(const AttentionShape& s) {
    return {{3 * s.heads * s.head_dim, s.head_dim}, {s.heads * s.head_dim, s.head_dim}};
  }
};

// Whether the kernels below take the layer: bf16, scale > 0, head_dim a multiple of 8 up to 256 (widths other than 32,
// 64, 128 and 256 are padded with zeros in shared memory), strides that keep rows at multiples of 16 bytes, images of
// less than 2^31 elements. Tensors begin at multiples of 16 bytes.
bool attention_sm80_takes(const AttentionShape& shape, DType type, const AttentionLayout& layout);

// lse (N, heads, tokens).
void attention_sm80_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                            const AttentionShape& shape, const AttentionLayout& layout);

// Bytes of the backward's scratch: two numbers a row, from a multiple of 16 bytes.
size_t attention_sm80_workspace(const AttentionShape& shape);

// dq, dk, dv are set.
void attention_sm80_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                             const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                             const AttentionShape& shape, const AttentionLayout& layout, void* workspace);

}  // namespace ito
