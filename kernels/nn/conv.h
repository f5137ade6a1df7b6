// SPDX-License-Identifier: Apache-2.0
// Direct convolution without tensor cores: the reference for faster ones, the fallback for shapes they refuse, and
// what sim runs. Shapes and sums as in seams/conv.h.
#pragma once
#include "kernels/seams/conv.h"

namespace ito {

// weight (K, R, S, C) in x's type.
void conv_forward(Stream& stream, DataRef y, ConstDataRef x, ConstDataRef weight, const ConvEpilogue& epilogue,
                  const ConvShape& shape, int n);

void conv_backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef weight,
                        const ConvShape& shape, int n);

// partial (chunks, K, R, S, C) fp32, chunks = ceil(n / images_per_chunk()): sum over the chunk's images, set.
void conv_backward_weight(Stream& stream, float* partial, ConstDataRef dy, ConstDataRef x, const ConvShape& shape,
                          int n);

}  // namespace ito
