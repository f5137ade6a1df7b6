// SPDX-License-Identifier: Apache-2.0
// Sum of partial rows (rows, count) in the order of kernels/sum_tree.h, whose leaves are rows or runs of rows.
// A block owns 256 columns, a thread of a GPU one of them. Where there are few columns, a block of a GPU owns fewer,
// and teams of its threads have a subtree of the leaves each, whose sums the first team joins: the same tree, over more
// of the card. Rows of a run are read eight at a time, so that their loads do not wait for one another. Bytes: each
// partial is read once, 4 an element; 4 written an output. Finished subtrees wait in registers (on a CPU in the first
// cache), at most log2(leaves). Refused: one pass a level of the tree, which reads and writes twice as much.
#include "kernels/nn/fold_tree.h"

#include "dialect.h"
#include "kernels/nn/sum_tree.cuh"

namespace ito {
namespace {

constexpr int kFoldSpan = 256;  // columns of a block with one team
constexpr int kFoldTeams = 8;   // at most, a power of two
constexpr int kFoldRun = 8;     // rows of a leaf on their way at a time
// Blocks of one team that are enough for a card.
constexpr int kFoldBlocks = 128;

struct FoldPart {
  FoldTask task;
  int teams, busy;  // a power of two; those that have leaves
  int64_t leaves;   // of a team, a power of two: a subtree
  int64_t blocks;
};
struct FoldPlan {
  FoldPart part[kFoldTasks];
};

template <bool RUNS>
KERNEL void fold_tree_kernel(FoldPlan plan, int64_t rows, int rows_a_leaf) {
  constexpr int kColumns = block_threads(kFoldSpan), kOwn = kFoldSpan / kColumns;
  int64_t block = blockIdx.x;
  FoldPart part = plan.part[0];
  if (block >= part.blocks) {
    block -= part.blocks;
    part = plan.part[1];
    if (block >= part.blocks) {
      block -= part.blocks;
      part = plan.part[2];
    }
  }
  const int span = kFoldSpan / part.teams, thread = static_cast<int>(threadIdx.x);
  const int team = thread / span, column = thread % span;
  const int64_t count = part.task.count, first = block * span;
  const int width = static_cast<int>(count - first < span ? count - first : span);
  const int64_t leaf_rows = part.leaves * rows_a_leaf;
  const int64_t r0 = team * leaf_rows < rows ? team * leaf_rows : rows;
  const int64_t r1 = r0 + leaf_rows < rows ? r0 + leaf_rows : rows;
  const float* from = part.task.partial + r0 * count + first;

  TreeSum<float, kOwn, RUNS ? kTreeLevels : kTreeLevels - 3> tree;
  if constexpr (RUNS) {
    for (int64_t begin = 0; begin < r1 - r0; begin += rows_a_leaf) {
      const int64_t end = begin + rows_a_leaf < r1 - r0 ? begin + rows_a_leaf : r1 - r0;
      float* sum = tree.begin(begin / rows_a_leaf);
      int64_t r = begin;
      for (; r + kFoldRun <= end; r += kFoldRun) {
        const float* row = from + r * count;
        for_own_columns<kFoldSpan, kColumns>(column, width, [&](int k, int j) {
          float in[kFoldRun];
          for (int u = 0; u < kFoldRun; ++u) in[u] = row[u * count + j];
          for (int u = 0; u < kFoldRun; ++u) sum[k] += in[u];
        });
      }
      for (; r < end; ++r) {
        const float* row = from + r * count;
        for_own_columns<kFoldSpan, kColumns>(column, width, [&](int k, int j) { sum[k] += row[j]; });
      }
    }
  } else {
    add_leaves<kFoldSpan, kColumns>(tree, from, r1 - r0, count, column, width);
  }
  const float* total = tree.total();
  float* out = part.task.out + first;
  if (part.teams == 1) for_own_columns<kFoldSpan, kColumns>(column, width, [&](int k, int j) { out[j] = total[k]; });
  if constexpr (WARP > 1) {
    SHARED(float, of_team, kFoldSpan);  // (teams, span)
    if (part.teams > 1) {
      of_team[thread] = total[0];
      block_sync();
      if (thread < width) {
        float sum[kFoldTeams];
        for (int t = 0; t < kFoldTeams; ++t) sum[t] = t < part.busy ? of_team[t * span + thread] : 0.0f;
        by_leaves(part.busy, [&](auto busy) { out[thread] = tree_of<decltype(busy)::value>(sum, 1); });
      }
    }
  }
}

FoldPart plan_part(const FoldTask& task, int64_t leaves) {
  FoldPart part{task, 1, 1, 1, 0};
  if (WARP > 1 && task.count < int64_t{kFoldBlocks} * kFoldSpan)
    while (part.teams < kFoldTeams && part.teams < leaves) part.teams *= 2;
  while (part.leaves * part.teams < leaves) part.leaves *= 2;
  part.busy = static_cast<int>(ceil_div(leaves, part.leaves));
  part.blocks = ceil_div(task.count, kFoldSpan / part.teams);
  return part;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void fold_tree(Stream& stream, float* out, const float* partial, int64_t rows, int rows_a_leaf, int64_t count) {
  fold_trees(stream, {{out, partial, count}}, rows, rows_a_leaf);
}

void fold_trees(Stream& stream, std::initializer_list<FoldTask> tasks, int64_t rows, int rows_a_leaf) {
  ITO_CHECK(rows >= 0 && rows_a_leaf > 0, "fold_tree: ", rows, " rows, ", rows_a_leaf,
            " a leaf, expected 0 or more rows and at least 1 a leaf");
  ITO_CHECK(tasks.size() <= kFoldTasks, "fold_tree: ", tasks.size(), " arrays, expected at most ", kFoldTasks);
  const int64_t leaves = ceil_div(rows, rows_a_leaf);
  check_leaves("fold_tree", leaves);
  FoldPlan plan{};
  int64_t blocks = 0, i = 0;
  for (const FoldTask& task : tasks) {
    ITO_CHECK(task.count >= 0, "fold_tree: ", task.count, " elements, expected 0 or more");
    plan.part[i] = plan_part(task, leaves);
    blocks += plan.part[i++].blocks;
  }
  constexpr int NT = block_threads(kFoldSpan);
  if (rows_a_leaf == 1)
    launch<fold_tree_kernel<false>>("fold_tree", Dim3(blocks), NT, 0, stream, plan, rows, rows_a_leaf);
  else
    launch<fold_tree_kernel<true>>("fold_tree", Dim3(blocks), NT, 0, stream, plan, rows, rows_a_leaf);
}

}  // namespace ito
