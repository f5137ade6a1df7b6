// SPDX-License-Identifier: Apache-2.0
// The end of a sum over images that several ranks share: the owner of a slice of the gradients has all ranks' subtrees
// of it, and joins them in the order of kernels/sum_tree.h.
#pragma once
#include <span>

#include "kernels/seams/device.h"
#include "kernels/sum_tree.h"

namespace ito {

inline constexpr int kJoinSlots = 8;  // most that a sum may use: enough for kTreePieces in the best order

// out[i] = the sum, set, of pieces[p][i] over the steps' pieces: each arrives in its slot, and then joins. Every piece
// and out have `count` elements and begin at a multiple of 16 bytes; out may be one of them. Slots are those of one
// thread: no memory is needed for them. Steps: engine/ranks/subtrees.h.
void join_subtrees(Stream& stream, float* out, std::span<const float* const> pieces, std::span<const TreeStep> steps,
                   int64_t count);

}  // namespace ito
