// SPDX-License-Identifier: Apache-2.0
// Which cuDNN engine a convolution layer runs, a direction at a time. The choice is a function of the layer and the
// card, never of N, so that an image's bits do not depend on its batch: the heuristics are asked once, at canonical_n()
// images; what they propose is taken only if its engine is deterministic, its precision is the layer's, every knob is
// one of which it is known that it cuts no sum by the size of the grid, and the workspace grows with N as a copy of
// images does. For another N the same engine is asked for with the same knobs.
//
// Why an image's bits then do not know N. Forward and data gradient are products of M = N P Q (or N H W) rows with the
// filters, summed over R S C (or R S K). A row's sum is cut by the engine's tile of that dimension, its stages and the
// split, all fixed by engine and knobs; N changes only how many tiles of rows there are. What can cut a sum besides is
// a kernel that shares out the tiles left over after whole waves of blocks: which those are follows N. It keeps parts
// of their sums in its workspace, whose size then rises and falls with N. The weight gradient is planned for one chunk
// of images, so it has one N.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/seams/cuda/backend_graph.h"
#include "kernels/seams/lanes/conv_runner.h"

namespace ito::cuda {

using Direction = ConvDirection;

enum TensorId : int64_t { kX = 'x', kFilters = 'w', kY = 'y' };  // or their gradients

inline int canonical_n() {  // 64 on a GPU
  return usual_images();
}

// What a choice depends on.
struct ConvKey {
  ConvShape shape;
  Direction direction = Direction::Forward;
  DType type = DType::F32;  // of all three tensors
  // fp32 tensors whose values came from bf16: TF32 holds them whole, so tensor cores lose nothing.
  bool holds_bf16 = false;
  std::string text() const;  // one to one
};

// The alignment in bytes of any image of the tensor, and of any chunk's partial: at most 16.
int64_t alignment_of(int64_t elements, DType type);
// Packed filters start a block of memory; partial sums of filters stand one behind another.
int64_t filters_alignment(const ConvKey& key);

// N x C x H x W with the memory of N x H x W x C.
TensorInfo nhwc_tensor(int64_t id, DType type, int64_t n, int64_t h, int64_t w, int64_t c, int64_t alignment);
OperationGraph conv_graph(const Target& target, const ConvKey& key, int n);

// Of a candidate. The knobs are those that cuDNN 9.19 and 9.26 propose: one that is not known is refused.
bool allowed_notes(const ConvKey& key, const std::vector<cudnnBackendNumericalNote_t>& notes);
bool allowed_knobs(const ConvKey& key, const EngineChoice& choice);

// A workspace as a function of N, in bytes: a copy of images takes so much an image.
struct WorkspaceLine {
  double of_one = 0, each_further = 0;
  // Whether the bytes are the line's, but for rounding up and counters. A tile of parts of sums is more than those.
  bool holds(int n, size_t bytes) const;
};
// The line on which the workspaces for many N lie, all of them planned: host work, some milliseconds. nullopt: they lie
// on none, so parts of sums may be in them. Throws CudnnError if an N cannot be planned.
std::optional<WorkspaceLine> workspace_line(const Target& target, const ConvKey& key, const EngineChoice& choice);

// The candidates to try, in order: the heuristics' and then the fallback mode's, without repetition.
std::vector<EngineChoice> conv_candidates(const Target& target, const ConvKey& key, int n);

}  // namespace ito::cuda
