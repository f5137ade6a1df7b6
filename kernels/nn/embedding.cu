// SPDX-License-Identifier: Apache-2.0
// Table look-up and its gradient, fp32: y[n,:] = table[index[n],:].
// Forward: a block a row n. Backward: a block owns 256 columns of one table row r and walks the batch, adding dy[n,:]
// where index[n] == r; a partial sum a chunk of images, joined by the tree of kernels/sum_tree.h, which skips the
// chunks without r. No atomics: a scatter's order of arrival would change the bits.
// Bytes: forward 8 an element of y; backward 4 an element of dy, 4 a written element of dtable, 4 N a table row.
#include "kernels/nn/embedding.h"

#include "dialect.h"
#include "kernels/nn/sum_tree.cuh"

namespace ito {
namespace {

constexpr int kSpan = 256;  // columns a backward block owns

KERNEL void embedding_forward_kernel(float* y, const float* table, const int32_t* index, int rows, int d) {
  const int64_t n = blockIdx.x;
  const int64_t r = index[n];
  const bool inside = r >= 0 && r < rows;
  const float nan = float_from_bits(0x7FC00000);
  BLOCK_LOOP(j, d) y[n * d + j] = inside ? table[r * d + j] : nan;
}

template <int NT>
KERNEL void embedding_backward_kernel(float* dtable, const float* dy, const int32_t* index, int n, int chunk, int d) {
  const int64_t strips = ceil_div(d, kSpan);
  const int64_t r = blockIdx.x / strips;
  const int first = static_cast<int>(blockIdx.x % strips) * kSpan;
  const int width = d - first < kSpan ? d - first : kSpan;
  const int column = static_cast<int>(threadIdx.x);
  float* out = dtable + r * d + first;
  TreeSum<float, kSpan / NT> tree;
  for (int begin = 0; begin < n; begin += chunk) {
    const int end = begin + chunk < n ? begin + chunk : n;
    bool found = false;
    for (int i = begin; i < end; ++i) {
      if (index[i] != r) continue;
      if (!found) tree.begin(begin / chunk);
      found = true;
      const float* row = dy + int64_t{i} * d + first;
      for_own_columns<kSpan, NT>(column, width, [&](int k, int j) { tree.open()[k] += row[j]; });
    }
  }
  const float* total = tree.total();
  for_own_columns<kSpan, NT>(column, width, [&](int k, int j) { out[j] = total[k]; });
}

}  // namespace

void embedding_forward(Stream& stream, float* y, const float* table, const int32_t* index, int n, int rows, int d) {
  ITO_CHECK(n >= 0 && rows > 0 && d > 0, "embedding_forward: N ", n, ", table (", rows, ", ", d,
            "), expected positive sizes");
  launch<embedding_forward_kernel>("embedding_forward", Dim3(n), row_threads(d), 0, stream, y, table, index, rows, d);
}

void embedding_backward(Stream& stream, float* dtable, const float* dy, const int32_t* index, int n, int rows, int d) {
  ITO_CHECK(n >= 0 && rows > 0 && d > 0, "embedding_backward: N ", n, ", table (", rows, ", ", d,
            "), expected positive sizes");
  const int chunk = images_per_chunk();
  check_leaves("embedding_backward", ceil_div(n, chunk));
  constexpr int NT = block_threads(kSpan);
  launch<embedding_backward_kernel<NT>>("embedding_backward", Dim3(rows * ceil_div(d, kSpan)), NT, 0, stream, dtable,
                                        dy, index, n, chunk, d);
}

}  // namespace ito
