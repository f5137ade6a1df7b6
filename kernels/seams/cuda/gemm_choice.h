// SPDX-License-Identifier: Apache-2.0
// A row-major product in cuBLASLt's terms, and the key of the algorithm that runs it. The library is column-major: a
// row-major (rows, columns) matrix with row distance ld is its column-major transpose with the same ld. So
// C = op(A) op(B) is asked for as C' = op(B)' op(A)': B first, each operand transposed exactly if ours is, and the
// library's rows are our columns.
//
// Why row i of C does not know m. The algorithm (kernel, tile, stages, cluster, swizzle) is one for a key, which has
// neither m nor the number of matrices; the sum over k is not split between blocks (split 1, no reduction scheme), so
// an element is one block's sum over k in steps of the tile, whatever number of tiles there are. The alignments that an
// algorithm may need follow from the row and matrix distances and the addresses, and are part of the key. (A packed
// transposed A has m as its row distance: there the alignment, and with it the key, follows m.)
#pragma once
#include <string>

#include "kernels/seams/gemm.h"

namespace ito::cuda {

struct GemmKey {
  int n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType input = DType::F32, output = DType::F32;
  int align_a = 16, align_b = 16, align_c = 16;  // bytes, at most 16
  auto operator<=>(const GemmKey&) const = default;
};

// shape with row distances filled in (checked_gemm).
GemmKey gemm_key(const GemmShape& shape, ConstDataRef c, ConstDataRef a, ConstDataRef b);

// A matrix as the library sees it.
struct ColumnMajor {
  int64_t rows = 0, columns = 0, ld = 0, stride = 0;
};
struct ColumnMajorProduct {
  ColumnMajor first, second, result;  // our B, our A, our C
  bool transpose_first = false, transpose_second = false;
  int batch = 1;
};
ColumnMajorProduct column_major(const GemmShape& shape);

// The product for which a key's algorithm is chosen: of the key's alignments, m a typical number of rows.
GemmShape canonical_shape(const GemmKey& key, int m, int batch);

}  // namespace ito::cuda
