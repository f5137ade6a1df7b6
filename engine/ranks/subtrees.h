// SPDX-License-Identifier: Apache-2.0
// How a step's sums over images are shared by ranks without a bit of them changing: which leaves of the one tree of
// kernels/sum_tree.h a rank has, which complete subtrees of it the rank makes, in which passes, and how the owner of a
// slice of the parameters joins the subtrees of all ranks. A plan alone: no device, no communication.
//      8 leaves, 3 ranks:  (0 1) (2) | (3) (4 5) | (6 7)      ->  ((0 1) + ((2) + (3))) + ((4 5) + (6 7))
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/sum_tree.h"

namespace ito {

// A run of leaves, or of other things in a row.
struct IndexRange {
  int64_t first = 0, count = 0;
  int64_t end() const { return first + count; }
  bool operator==(const IndexRange&) const = default;
};

// The rank's part of `count` things in a row; the first ranks have one more where they do not divide.
IndexRange share_of_rank(int64_t count, int ranks, int rank);

// The same for the leaves of a batch, of which every rank has one at least. Refused, as the user's mistake, otherwise.
IndexRange leaves_of_rank(int64_t leaves, int ranks, int rank);

// The largest complete subtrees, of a tree of `leaves`, that make up a run, by leaf number; one that only the batch's
// end cuts short is complete. At most 2 log2(count), or one.
std::vector<IndexRange> subtrees_of(IndexRange run, int64_t leaves);

// The same of all ranks, those of rank 0 first.
std::vector<IndexRange> subtrees_of_ranks(int64_t leaves, int ranks);

// A rank's passes: each is a subtree of a piece, which is one of its subtrees_of.
struct RankPass {
  IndexRange leaves;
  TreeArrival arrival;  // into one of `buffers`, and the joins that follow
};
struct PassPlan {
  std::vector<RankPass> passes;
  std::vector<int> buffer_of_piece;  // where the piece's sum is after the last pass
  int buffers = 0;                   // of the gradients' size: the fewest that hold the pieces and what waits for them
};

// most_leaves, a power of two: what a pass may have. For one rank these are tree_arrival and tree_slots.
PassPlan plan_passes(const std::vector<IndexRange>& pieces, int64_t most_leaves);

// The sum of all pieces of all ranks, whose numbers are their places in `pieces`, by leaf number.
struct JoinPlan {
  std::vector<TreeStep> steps;
  int slots = 0;  // at most log2(pieces), rounded down, and one
};
// Refused, as the user's mistake: more than kTreePieces.
JoinPlan plan_join(const std::vector<IndexRange>& pieces);

// The slice of an arena of `count` elements that the rank owns: whole spans of the gradient norm (kNormSpan), but for
// the arena's end. Empty, at the arena's end, where there are fewer spans than ranks.
IndexRange slice_of_rank(int64_t count, int ranks, int rank);

}  // namespace ito
