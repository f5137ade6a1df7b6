// SPDX-License-Identifier: Apache-2.0
// The order of sums over images as kernels/sum_tree.h states it, by recursion from the root; in T's own arithmetic,
// because the order is what is tested.
#pragma once
#include <bit>
#include <cstddef>
#include <vector>

namespace ito::ref {

// The subtree of `size` leaves, a power of two, at `first`, of those leaves there are. Elementwise.
template <class T>
std::vector<T> subtree_sum(const std::vector<std::vector<T>>& leaves, size_t first, size_t size) {
  if (size == 1) return leaves[first];
  std::vector<T> sum = subtree_sum(leaves, first, size / 2);
  if (first + size / 2 >= leaves.size()) return sum;
  const std::vector<T> right = subtree_sum(leaves, first + size / 2, size / 2);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += right[i];
  return sum;
}

template <class T>
std::vector<T> tree_sum(const std::vector<std::vector<T>>& leaves) {
  return subtree_sum(leaves, 0, std::bit_ceil(leaves.size()));
}

}  // namespace ito::ref
