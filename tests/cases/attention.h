// SPDX-License-Identifier: Apache-2.0
// Attentions: ragged tokens and widths, several heads, the UNets' own widths, jit-tiny's.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/seams/attention.h"

namespace ito::cases {

inline AttentionShape attention(int n, int tokens, int heads, int head_dim) {
  AttentionShape s;
  s.n = n, s.tokens = tokens, s.heads = heads, s.head_dim = head_dim;
  s.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  return s;
}

inline std::vector<AttentionShape> attention_shapes() {
  return {attention(1, 1, 1, 1),   attention(2, 5, 3, 3),    attention(2, 33, 2, 17),  attention(1, 49, 4, 8),
          attention(2, 49, 1, 64), attention(1, 70, 1, 130), attention(1, 40, 1, 512), attention(2, 53, 2, 64)};
}

// ddpm-cifar10's, jit-b-16's, dit-xl-2's; n images.
inline std::vector<AttentionShape> model_attention_shapes(int n) {
  return {attention(n, 256, 1, 256), attention(n, 16, 1, 256), attention(n, 288, 12, 64), attention(n, 256, 16, 72)};
}

}  // namespace ito::cases
