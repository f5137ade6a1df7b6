// SPDX-License-Identifier: Apache-2.0
// Table look-up by an integer a row (class embedding, learned time embedding), fp32.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// y[n,:] = table[index[n],:]; table (rows, D). An index outside [0, rows) gives NaN (the host checks what users give).
void embedding_forward(Stream& stream, float* y, const float* table, const int32_t* index, int n, int rows, int d);
// dtable[r,:] = sum over n with index[n] == r of dy[n,:], set: one partial per images_per_chunk() rows n, in order of
// n, joined in the order of kernels/sum_tree.h; a chunk without r is nothing, which gives the bits of adding its zero.
void embedding_backward(Stream& stream, float* dtable, const float* dy, const int32_t* index, int n, int rows, int d);

}  // namespace ito
