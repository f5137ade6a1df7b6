// SPDX-License-Identifier: Apache-2.0
// See gradient_exchange.h. Bytes out and in are those of a reduce-scatter by a ring, where a rank has one subtree.
#include "engine/ranks/gradient_exchange.h"

#include "kernels/optim/gradient_norm.h"
#include "kernels/optim/join_subtrees.h"

namespace ito {
namespace {

constexpr int64_t kRow = 4;  // floats of 16 bytes: where a row of subtrees may begin

}  // namespace

GradientExchange::GradientExchange(Communicator& ranks, int64_t leaves, int64_t floats) : ranks_(ranks) {
  for (int rank = 0; rank < ranks.size(); ++rank) {
    slices_.push_back(slice_of_rank(floats, ranks.size(), rank));
    subtrees_.push_back(subtrees_of(leaves_of_rank(leaves, ranks.size(), rank), leaves));
  }
  plan_ = plan_join(subtrees_of_ranks(leaves, ranks.size()));
  row_ = ceil_div(slice().count, kRow) * kRow;
}

void GradientExchange::declare(BufferList& buffers) {
  size_t others = 0;
  for (int rank = 0; rank < ranks_.size(); ++rank)
    if (rank != ranks_.rank()) others += subtrees_[rank].size();
  buffers.add(received_, others * static_cast<size_t>(row_), "gradients of other ranks");
}

void GradientExchange::join(Stream& stream, std::span<const float* const> own, float* gradients) {
  ITO_CHECK(own.size() == subtrees_[ranks_.rank()].size(), own.size(), " subtrees of a rank that makes ",
            subtrees_[ranks_.rank()].size());
  const IndexRange mine = slice();
  std::vector<Send> sends;
  std::vector<Receive> receives;
  std::vector<const float*> pieces;  // by leaf number over all ranks
  float* next = received_.data();
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    if (rank == ranks_.rank()) {
      for (const float* piece : own) pieces.push_back(piece + mine.first);
      continue;
    }
    const IndexRange theirs = slices_[rank];
    if (theirs.count > 0)
      for (const float* piece : own)
        sends.push_back({rank, piece + theirs.first, sizeof(float) * static_cast<size_t>(theirs.count)});
    if (mine.count == 0) continue;
    for (size_t i = 0; i < subtrees_[rank].size(); ++i, next += row_) {
      receives.push_back({rank, next, sizeof(float) * static_cast<size_t>(mine.count)});
      pieces.push_back(next);
    }
  }
  ranks_.exchange(stream, sends, receives);
  if (mine.count > 0) join_subtrees(stream, gradients + mine.first, pieces, plan_.steps, mine.count);
}

void GradientExchange::gather(Stream& stream, void* base, size_t element, const std::vector<IndexRange>& of_ranks) {
  const auto at = [&](const IndexRange& part) { return static_cast<char*>(base) + element * part.first; };
  const IndexRange own = of_ranks[ranks_.rank()];
  std::vector<Send> sends;
  std::vector<Receive> receives;
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    if (rank == ranks_.rank()) continue;
    if (own.count > 0) sends.push_back({rank, at(own), element * static_cast<size_t>(own.count)});
    const IndexRange part = of_ranks[rank];
    if (part.count > 0) receives.push_back({rank, at(part), element * static_cast<size_t>(part.count)});
  }
  ranks_.exchange(stream, sends, receives);
}

void GradientExchange::gather_arena(Stream& stream, float* arena) {
  gather(stream, arena, sizeof(float), slices_);
}

void GradientExchange::gather_norm(Stream& stream, double* partials) {
  std::vector<IndexRange> spans;
  for (const IndexRange& slice : slices_) spans.push_back({slice.first / kNormSpan, ceil_div(slice.count, kNormSpan)});
  gather(stream, partials, sizeof(double), spans);
}

void GradientExchange::gather_images(Stream& stream, float* of_images, const std::vector<IndexRange>& of_ranks) {
  gather(stream, of_images, sizeof(float), of_ranks);
}

}  // namespace ito
