// SPDX-License-Identifier: Apache-2.0
// A training step's sums over the ranks that share its batch. A rank owns a slice of the parameters: it gets every
// other rank's subtrees of that slice, joins all in the order of kernels/sum_tree.h, and hands on what it makes of
// them.
#pragma once
#include <span>
#include <vector>

#include "engine/program/buffer_list.h"
#include "engine/ranks/subtrees.h"
#include "kernels/seams/comm.h"

namespace ito {

class GradientExchange {
 public:
  // leaves: chunks of the batch. floats: of the arena that the optimiser walks. Throws UserError if there are fewer
  // leaves than ranks.
  GradientExchange(Communicator& ranks, int64_t leaves, int64_t floats);
  void declare(BufferList& buffers);

  IndexRange slice() const { return slices_[ranks_.rank()]; }  // this rank's, of the arena
  // own: this rank's subtrees, by leaf number, each an arena. Sets the slice of `gradients`, which may be one of them.
  void join(Stream& stream, std::span<const float* const> own, float* gradients);

  // Every rank's part to all ranks, in place: slices of an arena, spans of the gradient norm, numbers of the batch.
  void gather_arena(Stream& stream, float* arena);
  void gather_norm(Stream& stream, double* partials);
  void gather_images(Stream& stream, float* of_images, const std::vector<IndexRange>& of_ranks);

 private:
  void gather(Stream& stream, void* base, size_t element, const std::vector<IndexRange>& of_ranks);

  Communicator& ranks_;
  std::vector<IndexRange> slices_;                 // by rank
  std::vector<std::vector<IndexRange>> subtrees_;  // by rank
  JoinPlan plan_;
  int64_t row_;                   // floats of a subtree's slice in `received_`
  DeviceBuffer<float> received_;  // others' subtrees, in order
};

}  // namespace ito
