// SPDX-License-Identifier: Apache-2.0
// cuDNN and cuBLASLt, opened at first use: the program starts and runs without either, on the portable kernels. Each is
// looked for by its plain name (already loaded, or where the system's loader looks), then in the toolkit's folders
// (ITO_CUDA_HOME, or /usr/local/cuda), then in the folders of ITO_CUDA_LIBRARIES, a list separated by colons.
// ITO_PORTABLE_KERNELS=1 leaves both alone, to compare with the portable kernels.
#pragma once
#include <cublasLt.h>
#include <cudnn_graph.h>

#include <string>
#include <vector>

#if CUDNN_VERSION < 91301
#error "the CUDA build needs the headers of cuDNN 9.13.1 or later: install libcudnn9-dev-cuda-13"
#endif

namespace ito::cuda {

#define ITO_CUBLASLT_FUNCTIONS(X)         \
  X(cublasLtGetVersion)                   \
  X(cublasLtGetStatusString)              \
  X(cublasLtCreate)                       \
  X(cublasLtMatmul)                       \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmulAlgoCheck)              \
  X(cublasLtMatmulAlgoConfigGetAttribute) \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescDestroy)            \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatrixLayoutCreate)           \
  X(cublasLtMatrixLayoutDestroy)          \
  X(cublasLtMatrixLayoutSetAttribute)     \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute)

#define ITO_CUDNN_FUNCTIONS(X)     \
  X(cudnnGetVersion)               \
  X(cudnnGetCudartVersion)         \
  X(cudnnGetErrorString)           \
  X(cudnnGetLastErrorString)       \
  X(cudnnCreate)                   \
  X(cudnnSetStream)                \
  X(cudnnBackendCreateDescriptor)  \
  X(cudnnBackendDestroyDescriptor) \
  X(cudnnBackendSetAttribute)      \
  X(cudnnBackendGetAttribute)      \
  X(cudnnBackendFinalize)          \
  X(cudnnBackendExecute)

// Pointers named as the functions they point to, with the headers' types.
#define ITO_FUNCTION_POINTER(name) decltype(&::name) name = nullptr;
struct CublasLt {
  ITO_CUBLASLT_FUNCTIONS(ITO_FUNCTION_POINTER)
};
struct Cudnn {
  ITO_CUDNN_FUNCTIONS(ITO_FUNCTION_POINTER)
};
#undef ITO_FUNCTION_POINTER

// What was found, or in one line why not.
struct LibraryState {
  std::string title;    // "cuDNN"
  std::string path;     // of the file loaded; empty: none
  std::string version;  // "9.19.0"
  std::string error;
};

// null: not there (or ITO_PORTABLE_KERNELS=1); the first call that finds it missing writes one warning to stderr.
const CublasLt* cublas_lt();
const Cudnn* cudnn();
LibraryState cublas_lt_state();
LibraryState cudnn_state();

// One line a library: its version and path, or why it is not used. For gpu_check and `ito inspect`.
std::string describe_libraries();

// What decides the bits of products and convolutions: "cuDNN 9.19.0, cuBLASLt 13.1.0", with "none" for one that is not
// used.
std::string library_versions();

bool portable_only();  // ITO_PORTABLE_KERNELS=1

// The steps of the search, for tests.
std::vector<std::string> library_folders(const char* cuda_home, const char* extra_folders);  // null: not set
// The handle of the first of `soname` and `folder/soname` that loads, or null; state.path or state.error is set.
void* open_library(const char* soname, const std::vector<std::string>& folders, const char* packages,
                   LibraryState& state);
// Refuses a build for another major version of CUDA than the program's: libcudnn.so.9 is the name of them all.
void refuse_other_cuda(LibraryState& state, size_t cudart_version);
std::string dotted_version(size_t version, size_t major_unit);  // 91900, 10000 -> "9.19.0"; 130100, 10000 -> "13.1.0"

}  // namespace ito::cuda
