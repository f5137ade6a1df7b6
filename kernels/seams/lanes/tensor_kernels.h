// SPDX-License-Identifier: Apache-2.0
// Whether our tensor-core kernels may be chosen: not with ITO_PORTABLE_KERNELS=1, nor with ITO_TENSOR_KERNELS=0, which
// leaves the rest of the choice as it is.
#pragma once

namespace ito {

bool tensor_kernels_allowed();

}  // namespace ito
