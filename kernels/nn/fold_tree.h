// SPDX-License-Identifier: Apache-2.0
// Partial sums of images into one, in the order of kernels/sum_tree.h.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// out[i] = the tree's sum, set, of leaf[0][i], leaf[1][i], ...; leaf l is rows l a, l a + 1, .. of partial
// (rows, count), added in order, a = rows_a_leaf; the last leaf may have fewer. out may not be part of partial.
void fold_tree(Stream& stream, float* out, const float* partial, int64_t rows, int rows_a_leaf, int64_t count);

}  // namespace ito
