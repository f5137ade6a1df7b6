// SPDX-License-Identifier: Apache-2.0
// Sum of partial rows (rows, count) in the order of kernels/sum_tree.h, whose leaves are rows or runs of rows.
// A block owns 256 columns, a thread of a GPU one of them. Bytes: each partial is read once, 4 an element; 4 written an
// output. Finished subtrees wait in registers (on a CPU in the first cache), at most log2(leaves).
// Refused: one pass a level of the tree, which reads and writes twice as much.
#include "kernels/nn/fold_tree.h"

#include "dialect.h"
#include "kernels/nn/sum_tree.cuh"

namespace ito {
namespace {

constexpr int kFoldSpan = 256;  // elements a block owns

template <int NT>
KERNEL void fold_rows_kernel(float* out, const float* partial, int64_t rows, int64_t count) {
  const int64_t first = int64_t{blockIdx.x} * kFoldSpan;
  const int width = static_cast<int>(count - first < kFoldSpan ? count - first : kFoldSpan);
  fold_leaves<kFoldSpan, NT>(out + first, partial + first, rows, count, static_cast<int>(threadIdx.x), width);
}

template <int NT>
KERNEL void fold_runs_kernel(float* out, const float* partial, int64_t rows, int rows_a_leaf, int64_t count) {
  const int64_t first = int64_t{blockIdx.x} * kFoldSpan;
  const int width = static_cast<int>(count - first < kFoldSpan ? count - first : kFoldSpan);
  const int column = static_cast<int>(threadIdx.x);
  TreeSum<float, kFoldSpan / NT> tree;
  for (int64_t begin = 0; begin < rows; begin += rows_a_leaf) {
    const int64_t end = begin + rows_a_leaf < rows ? begin + rows_a_leaf : rows;
    float* sum = tree.begin(begin / rows_a_leaf);
    for (int64_t r = begin; r < end; ++r) {
      const float* row = partial + r * count + first;
      for_own_columns<kFoldSpan, NT>(column, width, [&](int k, int j) { sum[k] += row[j]; });
    }
  }
  const float* total = tree.total();
  for_own_columns<kFoldSpan, NT>(column, width, [&](int k, int j) { out[first + j] = total[k]; });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void fold_tree(Stream& stream, float* out, const float* partial, int64_t rows, int rows_a_leaf, int64_t count) {
  ITO_CHECK(rows >= 0 && rows_a_leaf > 0 && count >= 0, "fold_tree: ", rows, " rows of ", count, " elements, ",
            rows_a_leaf, " a leaf, expected 0 or more rows and at least 1 a leaf");
  check_leaves("fold_tree", ceil_div(rows, rows_a_leaf));
  constexpr int NT = block_threads(kFoldSpan);
  const Dim3 grid(ceil_div(count, kFoldSpan));
  if (rows_a_leaf == 1)
    launch<fold_rows_kernel<NT>>("fold_tree", grid, NT, 0, stream, out, partial, rows, count);
  else
    launch<fold_runs_kernel<NT>>("fold_tree", grid, NT, 0, stream, out, partial, rows, rows_a_leaf, count);
}

}  // namespace ito
