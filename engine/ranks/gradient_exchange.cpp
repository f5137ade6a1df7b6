// SPDX-License-Identifier: Apache-2.0
// See gradient_exchange.h. Bytes out and in are those of a reduce-scatter by a ring, where a rank has one subtree.
#include "engine/ranks/gradient_exchange.h"

#include <algorithm>

#include "kernels/optim/gradient_norm.h"
#include "kernels/optim/join_subtrees.h"

namespace ito {
namespace {

constexpr int64_t kRow = 4;  // floats of 16 bytes: where a row of subtrees may begin

}  // namespace

GradientExchange::GradientExchange(Communicator& ranks, int64_t leaves, const Ranges& buckets) : ranks_(ranks) {
  for (int rank = 0; rank < ranks.size(); ++rank) {
    Ranges& slices = slices_.emplace_back();
    for (const IndexRange& bucket : buckets) {
      const IndexRange slice = slice_of_rank(bucket.count, ranks.size(), rank);
      slices.push_back({bucket.first + slice.first, slice.count});
    }
    subtrees_.push_back(subtrees_of(leaves_of_rank(leaves, ranks.size(), rank), leaves));
  }
  plan_ = plan_join(subtrees_of_ranks(leaves, ranks.size()));
  for (const IndexRange& slice : own_ranges()) row_ = std::max(row_, ceil_div(slice.count, kRow) * kRow);
}

void GradientExchange::declare(BufferList& buffers) {
  size_t others = 0;
  for (int rank = 0; rank < ranks_.size(); ++rank)
    if (rank != ranks_.rank()) others += subtrees_[rank].size();
  buffers.add(received_, others * static_cast<size_t>(row_), "gradients of other ranks");
}

void GradientExchange::join(Stream& stream, int bucket, std::span<const float* const> own, float* gradients) {
  ITO_CHECK(own.size() == subtrees_[ranks_.rank()].size(), own.size(), " subtrees of a rank that makes ",
            subtrees_[ranks_.rank()].size());
  const IndexRange mine = own_ranges().at(bucket);
  std::vector<Send> sends;
  std::vector<Receive> receives;
  std::vector<const float*> pieces;  // by leaf number over all ranks
  float* next = received_.data();
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    if (rank == ranks_.rank()) {
      for (const float* piece : own) pieces.push_back(piece + mine.first);
      continue;
    }
    const IndexRange theirs = slices_[rank][bucket];
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

void GradientExchange::gather(Stream& stream, void* base, size_t element, const std::vector<Ranges>& of_ranks) {
  const auto at = [&](const IndexRange& part) { return static_cast<char*>(base) + element * part.first; };
  std::vector<Send> sends;
  std::vector<Receive> receives;
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    if (rank == ranks_.rank()) continue;
    for (const IndexRange& part : of_ranks[ranks_.rank()])
      if (part.count > 0) sends.push_back({rank, at(part), element * static_cast<size_t>(part.count)});
    for (const IndexRange& part : of_ranks[rank])
      if (part.count > 0) receives.push_back({rank, at(part), element * static_cast<size_t>(part.count)});
  }
  ranks_.exchange(stream, sends, receives);
}

void GradientExchange::gather_bucket(Stream& stream, int bucket, float* arena) {
  std::vector<Ranges> of_ranks;
  for (const Ranges& slices : slices_) of_ranks.push_back({slices.at(bucket)});
  gather(stream, arena, sizeof(float), of_ranks);
}

void GradientExchange::gather_arena(Stream& stream, float* arena) {
  gather(stream, arena, sizeof(float), slices_);
}

void GradientExchange::gather_norm(Stream& stream, double* partials) {
  std::vector<Ranges> spans(slices_.size());
  for (size_t rank = 0; rank < slices_.size(); ++rank)
    for (const IndexRange& slice : slices_[rank])
      spans[rank].push_back({slice.first / kNormSpan, ceil_div(slice.count, kNormSpan)});
  gather(stream, partials, sizeof(double), spans);
}

void GradientExchange::gather_images(Stream& stream, float* of_images, const std::vector<IndexRange>& of_ranks) {
  std::vector<Ranges> numbers;
  for (const IndexRange& images : of_ranks) numbers.push_back({images});
  gather(stream, of_images, sizeof(float), numbers);
}

}  // namespace ito
