// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's descriptors of a product, which destroy themselves, and what its heuristics are asked for.
#pragma once
#include <cublasLt.h>

#include "kernels/seams/cuda/gemm_choice.h"
#include "kernels/seams/cuda/library.h"

namespace ito::cuda {

inline void check_blas(const CublasLt& api, cublasStatus_t status, const char* doing) {
  ITO_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLASLt: ", doing, ": ", api.cublasLtGetStatusString(status));
}

inline cudaDataType_t cuda_type(DType type) {
  return type == DType::F32 ? CUDA_R_32F : CUDA_R_16BF;
}

class Layout {
 public:
  Layout(const CublasLt& api, const ColumnMajor& m, DType type, int batch) : api_(api) {
    check_blas(api,
               api.cublasLtMatrixLayoutCreate(&handle_, cuda_type(type), static_cast<uint64_t>(m.rows),
                                              static_cast<uint64_t>(m.columns), m.ld),
               "matrix layout");
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, m.stride);
  }
  ~Layout() { api_.cublasLtMatrixLayoutDestroy(handle_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return handle_; }

 private:
  template <class T>
  void set(cublasLtMatrixLayoutAttribute_t name, T value) {
    check_blas(api_, api_.cublasLtMatrixLayoutSetAttribute(handle_, name, &value, sizeof value), "matrix layout");
  }
  const CublasLt& api_;
  cublasLtMatrixLayout_t handle_ = nullptr;
};

// A product in the library's descriptors.
struct Description {
  Description(const CublasLt& api_, const GemmShape& shape, DType input, DType output)
      : api(api_),
        product(column_major(shape)),
        first(api, product.first, input, product.batch),
        second(api, product.second, input, product.batch),
        result(api, product.result, output, product.batch) {
    check_blas(api, api.cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
    const auto op = [](bool transpose) { return static_cast<int32_t>(transpose ? CUBLAS_OP_T : CUBLAS_OP_N); };
    set(CUBLASLT_MATMUL_DESC_TRANSA, op(product.transpose_first));
    set(CUBLASLT_MATMUL_DESC_TRANSB, op(product.transpose_second));
  }
  ~Description() { api.cublasLtMatmulDescDestroy(operation); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  bool accepts(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm) const {
    cublasLtMatmulHeuristicResult_t answer{};
    return api.cublasLtMatmulAlgoCheck(handle, operation, first.get(), second.get(), result.get(), result.get(),
                                       &algorithm, &answer) == CUBLAS_STATUS_SUCCESS &&
           answer.workspaceSize == 0;
  }

  const CublasLt& api;
  ColumnMajorProduct product;
  Layout first, second, result;
  cublasLtMatmulDesc_t operation = nullptr;

 private:
  void set(cublasLtMatmulDescAttributes_t name, int32_t value) {
    check_blas(api, api.cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof value), "operation");
  }
};

// Of algorithms with that much workspace; without any also none that splits a sum. fp32 stays fp32.
class Preference {
 public:
  Preference(const CublasLt& api, const GemmKey& key, size_t workspace) : api_(api) {
    check_blas(api, api.cublasLtMatmulPreferenceCreate(&handle_), "preference");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{workspace});
    if (!workspace)
      set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(key.align_b));  // the library's A is our B
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(key.align_a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(key.align_c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(key.align_c));
    if (key.input == DType::F32)
      set(CUBLASLT_MATMUL_PREF_IMPL_MASK, ~uint64_t{CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK});
  }
  ~Preference() { api_.cublasLtMatmulPreferenceDestroy(handle_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return handle_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t name, T value) {
    check_blas(api_, api_.cublasLtMatmulPreferenceSetAttribute(handle_, name, &value, sizeof value), "preference");
  }
  const CublasLt& api_;
  cublasLtMatmulPreference_t handle_ = nullptr;
};

struct BlasHandle {
  const CublasLt* api = nullptr;
  cublasLtHandle_t handle = nullptr;
};

// null: no library, or it has no handle to give, of which it warns once.
const BlasHandle* blas_handle();

}  // namespace ito::cuda
