// SPDX-License-Identifier: Apache-2.0
// Portable attention with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): no tokens x tokens matrix
// in memory. For attentions whose scores are too large to be kept (seams/lanes/own_attention.h), and what a library's
// attention is tried against. See seams/attention.h for shapes.
#pragma once
#include "kernels/seams/attention.h"

namespace ito {

void attention_portable_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                                const AttentionShape& shape);

// delta (N, heads, tokens) fp32 is scratch: rowsum(dout * out).
size_t attention_portable_workspace(const AttentionShape& shape);
void attention_portable_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout,
                                 ConstDataRef out, const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                                 const AttentionShape& shape, void* workspace);

}  // namespace ito
