// SPDX-License-Identifier: Apache-2.0
// See tensor_kernels.h.
#include "kernels/seams/lanes/tensor_kernels.h"

#include <cstdlib>
#include <cstring>

namespace ito {

bool tensor_kernels_allowed() {
  static const bool allowed = [] {
    const char* portable = getenv("ITO_PORTABLE_KERNELS");
    const char* tensor = getenv("ITO_TENSOR_KERNELS");
    return !(portable && strcmp(portable, "1") == 0) && !(tensor && strcmp(tensor, "0") == 0);
  }();
  return allowed;
}

}  // namespace ito
