// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's handle, which lives as long as the process.
#include "kernels/seams/cuda/gemm_library.h"

#include "kernels/seams/cuda/session.h"

namespace ito::cuda {

const BlasHandle* blas_handle() {
  static const BlasHandle* const only = []() -> const BlasHandle* {
    const CublasLt* api = cublas_lt();
    if (!api) return nullptr;
    BlasHandle* made = new BlasHandle{api, nullptr};  // never destroyed: at exit the driver may be gone before it
    const AllowCallsInCapture allow;
    const cublasStatus_t status = api->cublasLtCreate(&made->handle);
    if (status == CUBLAS_STATUS_SUCCESS) return made;
    warn("cuBLASLt: no handle: ", api->cublasLtGetStatusString(status), "; matrix products use the portable kernel");
    delete made;
    return nullptr;
  }();
  return only;
}

}  // namespace ito::cuda
