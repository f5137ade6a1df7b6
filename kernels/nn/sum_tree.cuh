// SPDX-License-Identifier: Apache-2.0
// The tree of kernels/sum_tree.h inside a thread: each of its kOwn columns keeps the finished subtrees that wait for
// their right halves, as a binary counter keeps its digits. Every leaf is read once. Include after "dialect.h".
#pragma once
#include "kernels/nn/rows.cuh"
#include "kernels/sum_tree.h"

namespace ito {

inline void check_leaves(const char* kernel, int64_t leaves) {
  ITO_CHECK(leaves <= int64_t{1} << kTreeLevels, kernel, ": a sum of ", leaves, " leaves, expected at most ",
            int64_t{1} << kTreeLevels, "; take fewer images a pass");
}

template <class T, int kOwn, int kLevels = kTreeLevels>
class TreeSum {
 public:
  DEVICE TreeSum() {
    // The bits of waiting_ say what was set. A compiler that has the levels in registers cannot see that, and warns;
    // where they are memory, zeros would cost as much as the sum.
    if constexpr (kOwn == 1)
      for (int level = 0; level < kLevels; ++level) level_[level][0] = 0;
  }
  // Starts leaf `number`, larger than those before it; leaves left out are nothing. Returns open().
  DEVICE T* begin(int64_t number) {
    if (last_ >= 0) close(number);
    last_ = number;
    for (int k = 0; k < kOwn; ++k) open_[k] = 0;
    return open_;
  }
  // Where the last leaf begun is summed: kOwn values, zero at first.
  DEVICE T* open() { return open_; }
  // After the last leaf, once: the sums of all.
  DEVICE const T* total() {
    join<0>(kLevels);
    return open_;
  }

 private:
  // The open leaf and the new one part at the level of the highest bit in which their numbers differ: what waits below
  // it becomes the left half there.
  DEVICE void close(int64_t number) {
    int level = 0;  // by hand: nvcc 13 compiles std::bit_width to nothing sensible, without a word
    for (int64_t differ = (last_ ^ number) >> 1; differ; differ >>= 1) ++level;
    join<0>(level);
    waiting_ |= 1u << level;
  }

  // Adds the waiting subtrees below `level` to the open one, smallest first, and puts the sum at that level. Levels are
  // compile-time numbers, so that a GPU keeps them in registers.
  template <int kLevel>
  DEVICE void join(int level) {
    if constexpr (kLevel < kLevels) {
      if (kLevel == level) {
        for (int k = 0; k < kOwn; ++k) level_[kLevel][k] = open_[k];
      } else {
        if (waiting_ >> kLevel & 1u) {
          for (int k = 0; k < kOwn; ++k) open_[k] += level_[kLevel][k];
          waiting_ &= ~(1u << kLevel);
        }
        join<kLevel + 1>(level);
      }
    }
  }

  T level_[kLevels][kOwn];
  T open_[kOwn] = {};
  int64_t last_ = -1;
  uint32_t waiting_ = 0;  // bit k: level k holds a subtree
};

// The tree's sum of kLeaves numbers, `distance` apart.
template <int kLeaves>
DEVICE float tree_of(const float* leaf, int64_t distance) {
  if constexpr (kLeaves == 1) {
    return leaf[0];
  } else {
    constexpr int kLeft = kLeaves > 4 ? 4 : kLeaves > 2 ? 2 : 1;
    return tree_of<kLeft>(leaf, distance) + tree_of<kLeaves - kLeft>(leaf + kLeft * distance, distance);
  }
}

// Calls f(integral_constant) with 1 <= count <= 8.
template <class F, int kCount = 1>
DEVICE void by_leaves(int count, F&& f) {
  if constexpr (kCount == 8) {
    f(std::integral_constant<int, 8>{});
  } else {
    if (count == kCount)
      f(std::integral_constant<int, kCount>{});
    else
      by_leaves<F, kCount + 1>(count, static_cast<F&&>(f));
  }
}

// The leaves row[0][j] .. row[leaves - 1][j], `distance` apart, into an empty tree, for the thread's columns j
// (rows.cuh). Eight rows at a time, which are a subtree, so that their loads do not wait for one another.
template <int kWidth, int kColumns>
DEVICE void add_leaves(TreeSum<float, kWidth / kColumns, kTreeLevels - 3>& tree, const float* row, int64_t leaves,
                       int64_t distance, int column, int width) {
  constexpr int kGroup = 8;
  for (int64_t first = 0; first < leaves; first += kGroup) {
    float* sum = tree.begin(first / kGroup);
    const float* group = row + first * distance;
    by_leaves(static_cast<int>(leaves - first < kGroup ? leaves - first : kGroup), [&](auto count) {
      for_own_columns<kWidth, kColumns>(
          column, width, [&](int k, int j) { sum[k] = tree_of<decltype(count)::value>(group + j, distance); });
    });
  }
}

// out[j] = the tree's sum of the same.
template <int kWidth, int kColumns>
DEVICE void fold_leaves(float* out, const float* row, int64_t leaves, int64_t distance, int column, int width) {
  TreeSum<float, kWidth / kColumns, kTreeLevels - 3> tree;
  add_leaves<kWidth, kColumns>(tree, row, leaves, distance, column, width);
  const float* total = tree.total();
  for_own_columns<kWidth, kColumns>(column, width, [&](int k, int j) { out[j] = total[k]; });
}

}  // namespace ito
