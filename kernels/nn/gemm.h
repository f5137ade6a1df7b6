// SPDX-License-Identifier: Apache-2.0
// Portable tiled matrix product: the reference of the GEMM seam, and its whole implementation in sim. See seams/gemm.h.
#pragma once
#include "kernels/seams/gemm.h"

namespace ito {

void gemm_portable(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& shape);

}  // namespace ito
