// SPDX-License-Identifier: Apache-2.0
// Matrix products in sim: the portable kernel.
#include "kernels/nn/gemm.h"

namespace ito {

void gemm(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& shape) {
  gemm_portable(stream, c, write, a, b, shape);
}

}  // namespace ito
