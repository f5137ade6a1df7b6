// SPDX-License-Identifier: Apache-2.0
// Partial sums of images into one, in the order of kernels/sum_tree.h.
#pragma once
#include <initializer_list>

#include "kernels/seams/device.h"

namespace ito {

// out[i] = the tree's sum, set, of leaf[0][i], leaf[1][i], ...; leaf l is rows l a, l a + 1, .. of partial
// (rows, count), added in order, a = rows_a_leaf; the last leaf may have fewer. out may not be part of partial.
void fold_tree(Stream& stream, float* out, const float* partial, int64_t rows, int rows_a_leaf, int64_t count);

struct FoldTask {
  float* out = nullptr;            // (count)
  const float* partial = nullptr;  // (rows, count)
  int64_t count = 0;
};

// fold_tree of up to kFoldTasks arrays of as many rows each, in one launch.
inline constexpr int kFoldTasks = 3;
void fold_trees(Stream& stream, std::initializer_list<FoldTask> tasks, int64_t rows, int rows_a_leaf);

}  // namespace ito
