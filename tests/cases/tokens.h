// SPDX-License-Identifier: Apache-2.0
// What transformers do to tokens beside norms and products: ragged sizes, strips of each width, jit-tiny's; shared by
// tests and benches, which add those of jit-b-16 (256 tokens of 768 channels, 32 of the class in front of them, 12
// heads) and dit-xl-2 (256 of 1152, 16 heads).
#pragma once
#include <vector>

#include "kernels/nn/activations.h"
#include "kernels/nn/context.h"
#include "kernels/nn/gate.h"
#include "kernels/nn/patches.h"
#include "kernels/nn/rope.h"
#include "tests/cases/pointwise.h"

namespace ito::cases {

inline std::vector<GateShape> gate_shapes() {
  return {{1, 1, 1, 1}, {3, 5, 7, 9}, {2, 70, 24, 28}, {2, 9, 64, 64}, {1, 600, 33, 33}, {2, 53, 128, 128}};
}
inline std::vector<GateShape> model_gate_shapes(int n) {
  return {{n, 288, 768, 768}, {n, 256, 1152, 1152}};
}

inline std::vector<RopeShape> rope_shapes() {
  return {{1, 1, 1, 2}, {2, 5, 3, 6}, {2, 9, 2, 24}, {3, 4, 2, 64}, {2, 53, 2, 64}};
}
inline std::vector<RopeShape> model_rope_shapes(int n) {
  return {{n, 288, 12, 64}};
}

inline std::vector<PatchShape> patch_shapes() {
  return {{1, 1, 1, 1, 1}, {2, 4, 6, 3, 2}, {2, 6, 3, 5, 3}, {1, 8, 16, 4, 2}, {1, 8, 8, 16, 4}, {2, 28, 28, 1, 4}};
}
inline std::vector<PatchShape> model_patch_shapes(int n) {
  return {{n, 256, 256, 3, 16}, {n, 32, 32, 3, 2}};
}

inline std::vector<ContextShape> context_shapes() {
  return {{1, 1, 1, 1}, {3, 2, 5, 7}, {2, 70, 3, 24}, {2, 3, 9, 64}, {2, 4, 49, 128}};
}
inline std::vector<ContextShape> model_context_shapes(int n) {
  return {{n, 32, 256, 768}};
}

// Tokens to which a table of positions is added: as wide as a pack, and several blocks with a rest.
inline std::vector<Rows> placed_tokens() {
  return {{3, 1, 1}, {3, 1, 7}, {3, 9, 8}, {3, 65, 64}, {3, 9, 1000}, {2, 49, 128}};
}
inline std::vector<Rows> model_placed_tokens(int n) {
  return {{n, 256, 768}, {n, 256, 1152}};
}

// A feed-forward's hidden layer behind GELU.
inline std::vector<Rows> model_hidden_rows(int n) {
  return {{n, 256, 4608}};
}

// And one of two halves, of which the second is the gate; tests take both orders.
inline std::vector<GatedSiluShape> gated_silu_shapes() {
  return {{1, 1, false}, {3, 7, false}, {9, 24, false}, {17, 64, false}, {2 * 53, 341, false}};
}
inline std::vector<GatedSiluShape> model_gated_silu_shapes(int n) {
  return {{288LL * n, 2048, true}};
}

}  // namespace ito::cases
