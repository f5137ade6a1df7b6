// SPDX-License-Identifier: Apache-2.0
// The attention seam made of our own kernels and of matrix products, which are a library's where there is one:
//   S = scale Q K^T, P = softmax(S), out = P V; backward: dP = dout V^T, dS = scale P (dP - rowsum(P dP)),
//   dV = P^T dout, dQ = dS K, dK = dS^T Q.
// All of sim, and the CUDA build's attention. Scores and dP are fp32; P and dS have the storage type in the products,
// as in seams/cpu/attention.cpp. A product is one call a head, of which the images are the matrices: how gemm() sums
// does not depend on their number, so an image's bits do not know its batch.
// Scores are kept in the workspace, of as many images at a time as fit kMostScores. Where one image's take more than
// that, the portable kernels (nn/attention.h) run, which store no matrix of tokens by tokens: a function of the shape
// without n.
#pragma once
#include "kernels/seams/attention.h"

namespace ito {

inline constexpr size_t kMostScores = size_t{256} << 20;  // bytes of one matrix of scores in fp32

// Images whose scores are kept at a time; 0: the portable kernels run.
int own_attention_images(const AttentionShape& shape, size_t most_scores = kMostScores);

size_t own_attention_forward_workspace(const AttentionShape& shape, DType type, size_t most_scores = kMostScores);
void own_attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                           const AttentionShape& shape, void* workspace, size_t most_scores = kMostScores);

size_t own_attention_backward_workspace(const AttentionShape& shape, DType type, size_t most_scores = kMostScores);
void own_attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                            const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                            const AttentionShape& shape, void* workspace, size_t most_scores = kMostScores);

}  // namespace ito
