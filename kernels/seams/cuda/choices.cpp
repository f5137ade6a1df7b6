// SPDX-License-Identifier: Apache-2.0
// On a GPU bits may change with the toolkit that compiled our kernels and with the libraries that are loaded; which of
// a library's kernels a layer runs is in the layer's own description.
#include "kernels/seams/choices.h"

#include <cuda_runtime_api.h>

#include "kernels/seams/cuda/library.h"
#include "kernels/seams/cuda/stream.h"

namespace ito {

std::string kernel_choices() {
  int version = 0;  // of the runtime that is linked: 1000 * major + 10 * minor
  check_cuda(cudaRuntimeGetVersion(&version), "the runtime's version");
  return join_text("cuda, runtime ", version / 1000, ".", version % 1000 / 10, ", ", cuda::library_versions());
}

std::string advice_for_choices(const std::string&) {
  return {};
}

}  // namespace ito
