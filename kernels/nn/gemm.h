// SPDX-License-Identifier: Apache-2.0
// Portable tiled matrix product: the reference of the GEMM seam, and its whole implementation in sim. See seams/gemm.h.
#pragma once
#include "kernels/seams/gemm.h"

namespace ito {

// The shape with its row distances filled in; Error if sizes, distances or types are not those of a product.
GemmShape checked_gemm(const GemmShape& shape, DType c, DType a, DType b);

void gemm_portable(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& shape);

}  // namespace ito
