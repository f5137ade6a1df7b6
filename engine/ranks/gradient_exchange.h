// SPDX-License-Identifier: Apache-2.0
// A training step's sums over the ranks that share its batch. A rank owns a slice of every bucket of the parameters: it
// gets every other rank's subtrees of that slice, joins all in the order of kernels/sum_tree.h, and hands on what it
// makes of them. No rank receives a whole bucket alone.
#pragma once
#include <span>
#include <vector>

#include "engine/program/buffer_list.h"
#include "engine/ranks/subtrees.h"
#include "kernels/seams/comm.h"

namespace ito {

class GradientExchange {
 public:
  // leaves: chunks of the batch. buckets: ranges of the arena that the optimiser walks, each of whole spans of the
  // gradient norm (kNormSpan) but for the arena's end. Throws UserError if there are fewer leaves than ranks.
  GradientExchange(Communicator& ranks, int64_t leaves, const std::vector<IndexRange>& buckets);
  void declare(BufferList& buffers);

  // This rank's slices of the arena, one a bucket. Some may be empty.
  const std::vector<IndexRange>& own_ranges() const { return slices_[ranks_.rank()]; }
  // own: this rank's subtrees, by leaf number, each an arena of which the bucket is complete. Sets this rank's slice of
  // it in `gradients`, which may be one of them. What is received stands in the same memory for all buckets: their
  // joins are of one stream.
  void join(Stream& stream, int bucket, std::span<const float* const> own, float* gradients);

  // Every rank's part to all ranks, in place: slices of a bucket or of all, spans of the gradient norm, numbers of the
  // batch.
  void gather_bucket(Stream& stream, int bucket, float* arena);
  void gather_arena(Stream& stream, float* arena);
  void gather_norm(Stream& stream, double* partials);
  void gather_images(Stream& stream, float* of_images, const std::vector<IndexRange>& of_ranks);

 private:
  using Ranges = std::vector<IndexRange>;
  void gather(Stream& stream, void* base, size_t element, const std::vector<Ranges>& of_ranks);

  Communicator& ranks_;
  std::vector<Ranges> slices_;    // by rank, and bucket
  std::vector<Ranges> subtrees_;  // by rank
  JoinPlan plan_;
  int64_t row_ = 0;               // floats of a subtree's slice in `received_`, of the largest bucket
  DeviceBuffer<float> received_;  // others' subtrees of a bucket, in order
};

}  // namespace ito
