// SPDX-License-Identifier: Apache-2.0
// The order of every sum over images: gradients of weights, biases, norms and tables, and the loss.
// The leaves are the chunks of images_per_chunk() images of the global batch, by number; within one, images are summed
// in order (or as the library sums a chunk). The leaves are joined by one binary tree, fixed by their numbers: the
// subtree of size 2^k at a multiple of 2^k is the sum of its two halves, and a half without leaves is nothing, so that
// the other passes through unchanged. A left fold could not be cut; the sum of any complete subtree can be made apart,
// so passes, and devices, share a batch without changing a bit.
//      batch of 7 leaves:  ((0 + 1) + (2 + 3)) + ((4 + 5) + 6)
// What makes a subtree of its own: a run of leaves whose length is a power of two 2^k and whose first leaf is a
// multiple of 2^k; at the batch's end it may be shorter. A sum taken with a run's first leaf as number 0 is then the
// subtree's. A library that wants smaller leaves takes a chunk's part of a power of two, which is a subtree of the same
// tree.
#pragma once
#include <bit>
#include <cstdint>

namespace ito {

inline constexpr int kTreeLevels = 18;  // a sum of at most 2^18 leaves: 2^20 images on a CPU

// Equal subtrees arrive in order, number 0 first, each in a buffer of its own; after one, finished pairs are joined, as
// carries in a binary counter. The sum is in buffer 0 when the last has come.
struct TreeArrival {
  int slot;   // the buffer it goes to
  int joins;  // then so often: buffer slot - 1 += buffer slot, and slot is one less
};

// Subtree `number` of `count`.
constexpr TreeArrival tree_arrival(int64_t number, int64_t count) {
  const auto bits = static_cast<uint64_t>(number);
  const int waiting = std::popcount(bits);
  return {waiting, number + 1 == count ? waiting : std::countr_one(bits)};
}

// Buffers that `count` arrivals need: log2(count), rounded down, and one.
constexpr int tree_slots(int64_t count) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(count)));
}

// Subtrees that are not equal, each in a buffer of its own, may come in any order in which what arrives joins what came
// before it. A sum of them is a list of steps: subtree `piece` arrives.
struct TreeStep {
  int piece;
  TreeArrival arrival;
};
inline constexpr int kTreePieces = 128;  // most subtrees that one sum joins

}  // namespace ito
