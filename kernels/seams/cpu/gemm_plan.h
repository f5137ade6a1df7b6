// SPDX-License-Identifier: Apache-2.0
// One matrix product as a one-thread oneDNN call; attention makes its products of the same.
#pragma once
#include "kernels/seams/cpu/onednn.h"
#include "kernels/seams/gemm.h"

namespace ito::onednn {

// C (+)= alpha op(A) op(B) of one matrix. Batch and its strides are not looked at. Operands: A, B, C.
Call plan_product(const GemmShape& shape, DType a, DType b, DType c, Write write);

}  // namespace ito::onednn
