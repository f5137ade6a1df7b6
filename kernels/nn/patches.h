// SPDX-License-Identifier: Apache-2.0
// An image as tokens of p x p pixels and back, and a table that is added to every image.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct PatchShape {
  int n = 0, h = 0, w = 0, c = 0, p = 1;  // of the image; h and w multiples of p
};

// tokens (N, H / p, W / p, p p C) (+)= image (N, H, W, C): a token's numbers by row, column and channel of its patch.
void patchify(Stream& stream, DataRef tokens, Write write, ConstDataRef image, const PatchShape& shape);
// The other way round; each is the other's backward.
void unpatchify(Stream& stream, DataRef image, Write write, ConstDataRef tokens, const PatchShape& shape);

// y[n] = x[n] + table: rows of `row` numbers, the table fp32. y may alias x.
void add_table(Stream& stream, DataRef y, ConstDataRef x, const float* table, int n, int64_t row);

}  // namespace ito
