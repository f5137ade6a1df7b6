// SPDX-License-Identifier: Apache-2.0
// See subtrees.h.
#include "engine/ranks/subtrees.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "engine/io/option_name.h"
#include "kernels/error.h"
#include "kernels/optim/gradient_norm.h"

namespace ito {
namespace {

int64_t ceil_power(int64_t n) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
}

// The joins of pieces [begin, end), which are what the subtree of `size` leaves at `first` consists of. The half that
// needs more slots goes first: while it is made nothing of the other waits. A sum's bits know no order of its two
// terms.
class JoinPlanner {
 public:
  explicit JoinPlanner(const std::vector<IndexRange>& pieces) : pieces_(pieces) {}

  JoinPlan plan() {
    const auto count = static_cast<int>(pieces_.size());
    const Node root{0, count, 0, ceil_power(pieces_.back().end())};
    plan_.slots = slots_of(root);
    append(root, 0);
    return std::move(plan_);
  }

 private:
  struct Node {
    int begin, end;
    int64_t first, size;
  };

  bool is_piece(const Node& node) const { return node.end - node.begin == 1; }

  // The halves; the right one has no pieces where the batch ends before it.
  std::pair<Node, Node> halves(const Node& node) const {
    const int64_t half = node.size / 2, middle = node.first + half;
    int at = node.begin;
    while (at < node.end && pieces_[at].first < middle) ++at;
    return {{node.begin, at, node.first, half}, {at, node.end, middle, half}};
  }

  int slots_of(const Node& node) const {
    if (is_piece(node)) return 1;
    const auto [left, right] = halves(node);
    if (right.begin == right.end) return slots_of(left);
    const int l = slots_of(left), r = slots_of(right);
    return l == r ? l + 1 : std::max(l, r);
  }

  void append(const Node& node, int slot) {
    if (is_piece(node)) return plan_.steps.push_back({node.begin, {slot, 0}});
    const auto [left, right] = halves(node);
    if (right.begin == right.end) return append(left, slot);
    const bool swap = slots_of(right) > slots_of(left);
    append(swap ? right : left, slot);
    append(swap ? left : right, slot + 1);
    ++plan_.steps.back().arrival.joins;
  }

  const std::vector<IndexRange>& pieces_;
  JoinPlan plan_;
};

}  // namespace

IndexRange share_of_rank(int64_t count, int ranks, int rank) {
  ITO_CHECK(count >= 0 && ranks >= 1 && rank >= 0 && rank < ranks, "rank ", rank, " of ", ranks, " for ", count,
            " things to share");
  const int64_t each = count / ranks, more = count % ranks;
  return {rank * each + std::min<int64_t>(rank, more), each + (rank < more ? 1 : 0)};
}

IndexRange leaves_of_rank(int64_t leaves, int ranks, int rank) {
  ITO_USER_CHECK(leaves >= ranks, option_name("batch"), ": ", ranks, " ranks share it by chunks of images, and it has ",
                 leaves, "; start at most ", leaves, " ranks, or take a larger batch");
  return share_of_rank(leaves, ranks, rank);
}

std::vector<IndexRange> subtrees_of(IndexRange run, int64_t leaves) {
  ITO_CHECK(run.first >= 0 && run.end() <= leaves, "leaves ", run.first, " to ", run.end(), " of ", leaves);
  std::vector<IndexRange> pieces;
  for (int64_t first = run.first; first < run.end();) {
    // The largest subtree that begins here, then its left half until it fits.
    int64_t size = first == 0 ? ceil_power(leaves) : first & -first;
    while (std::min(first + size, leaves) > run.end()) size /= 2;
    pieces.push_back({first, std::min(size, leaves - first)});
    first = pieces.back().end();
  }
  return pieces;
}

std::vector<IndexRange> subtrees_of_ranks(int64_t leaves, int ranks) {
  std::vector<IndexRange> all;
  for (int rank = 0; rank < ranks; ++rank) {
    const std::vector<IndexRange> pieces = subtrees_of(leaves_of_rank(leaves, ranks, rank), leaves);
    all.insert(all.end(), pieces.begin(), pieces.end());
  }
  return all;
}

PassPlan plan_passes(const std::vector<IndexRange>& pieces, int64_t most_leaves) {
  ITO_CHECK(most_leaves > 0 && ceil_power(most_leaves) == most_leaves, "passes of ", most_leaves,
            " leaves, expected a power of two");
  const auto passes_of = [&](const IndexRange& piece) { return (piece.count + most_leaves - 1) / most_leaves; };
  // Whatever waits for a piece waits in buffers of pieces to come, so those that need most go first.
  std::vector<int> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return tree_slots(passes_of(pieces[a])) > tree_slots(passes_of(pieces[b])); });
  PassPlan plan;
  plan.buffer_of_piece.resize(pieces.size());
  for (int done = 0; done < static_cast<int>(order.size()); ++done) {
    const IndexRange& piece = pieces[order[done]];
    const int64_t passes = passes_of(piece);
    for (int64_t number = 0; number < passes; ++number) {
      const int64_t first = piece.first + number * most_leaves;
      TreeArrival arrival = tree_arrival(number, passes);
      arrival.slot += done;
      plan.passes.push_back({{first, std::min(most_leaves, piece.end() - first)}, arrival});
    }
    plan.buffer_of_piece[order[done]] = done;
    plan.buffers = std::max(plan.buffers, done + tree_slots(passes));
  }
  return plan;
}

JoinPlan plan_join(const std::vector<IndexRange>& pieces) {
  ITO_USER_CHECK(pieces.size() <= kTreePieces, "these ranks cut the batch's sums into ", pieces.size(),
                 " parts, expected at most ", kTreePieces, "; take a batch that the ranks divide, or fewer ranks");
  ITO_CHECK(!pieces.empty(), "a sum of no pieces");
  int64_t end = 0;
  for (const IndexRange& piece : pieces) {
    const int64_t size = ceil_power(piece.count);
    ITO_CHECK(piece.count > 0 && piece.first == end && piece.first % size == 0 &&
                  (size == piece.count || &piece == &pieces.back()),
              "leaves ", piece.first, " to ", piece.end(), " are no subtree that follows leaf ", end);
    end = piece.end();
  }
  return JoinPlanner(pieces).plan();
}

IndexRange slice_of_rank(int64_t count, int ranks, int rank) {
  const IndexRange spans = share_of_rank((count + kNormSpan - 1) / kNormSpan, ranks, rank);
  const int64_t first = std::min(spans.first * kNormSpan, count);
  return {first, std::min(spans.end() * kNormSpan, count) - first};
}

}  // namespace ito
