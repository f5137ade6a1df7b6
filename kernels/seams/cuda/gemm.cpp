// SPDX-License-Identifier: Apache-2.0
// Matrix products on a GPU: cuBLASLt with an algorithm a key (gemm_choice.h), the portable kernel where it has none.
// fp32 means fp32: no TF32, no emulation. No workspace is given, so no algorithm needs one and a capture freezes none.
// The heuristics are asked once a key, for kCanonicalM rows and two matrices; what they propose is taken if it splits
// no sum and is accepted for 1, kCanonicalM and kLargeM rows, one matrix and two. If it then refuses an m, that is an
// error: the portable kernel would give other bits.
#include <cublasLt.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/nn/gemm.h"
#include "kernels/seams/cuda/gemm_choice.h"
#include "kernels/seams/cuda/library.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

using cuda::ColumnMajor;
using cuda::CublasLt;
using cuda::GemmKey;

constexpr int kCanonicalM = 256, kLargeM = 8192;
constexpr int kMostCandidates = 16;

void check(const CublasLt& api, cublasStatus_t status, const char* doing) {
  ITO_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLASLt: ", doing, ": ", api.cublasLtGetStatusString(status));
}

cudaDataType_t cuda_type(DType type) {
  return type == DType::F32 ? CUDA_R_32F : CUDA_R_16BF;
}

class Layout {
 public:
  Layout(const CublasLt& api, const ColumnMajor& m, DType type, int batch) : api_(api) {
    check(api,
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
    check(api_, api_.cublasLtMatrixLayoutSetAttribute(handle_, name, &value, sizeof value), "matrix layout");
  }
  const CublasLt& api_;
  cublasLtMatrixLayout_t handle_ = nullptr;
};

// A product in the library's descriptors.
struct Description {
  Description(const CublasLt& api_, const GemmShape& shape, DType input, DType output)
      : api(api_),
        product(cuda::column_major(shape)),
        first(api, product.first, input, product.batch),
        second(api, product.second, input, product.batch),
        result(api, product.result, output, product.batch) {
    check(api, api.cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
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
  cuda::ColumnMajorProduct product;
  Layout first, second, result;
  cublasLtMatmulDesc_t operation = nullptr;

 private:
  void set(cublasLtMatmulDescAttributes_t name, int32_t value) {
    check(api, api.cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof value), "operation");
  }
};

class Preference {
 public:
  Preference(const CublasLt& api, const GemmKey& key) : api_(api) {
    check(api, api.cublasLtMatmulPreferenceCreate(&handle_), "preference");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{0});
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
    check(api_, api_.cublasLtMatmulPreferenceSetAttribute(handle_, name, &value, sizeof value), "preference");
  }
  const CublasLt& api_;
  cublasLtMatmulPreference_t handle_ = nullptr;
};

bool splits_no_sum(const CublasLt& api, const cublasLtMatmulAlgo_t& algorithm) {
  int32_t splits = 0;
  uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_MASK;
  size_t written = 0;
  return api.cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits,
                                                  &written) == CUBLAS_STATUS_SUCCESS &&
         api.cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                  sizeof scheme, &written) == CUBLAS_STATUS_SUCCESS &&
         (splits == 0 || splits == 1) && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

struct Handle {
  const CublasLt* api = nullptr;
  cublasLtHandle_t handle = nullptr;
  std::mutex mutex;
  std::map<GemmKey, std::optional<cublasLtMatmulAlgo_t>> algorithms;  // nullopt: the portable kernel
};

Handle* handle() {
  static Handle* const only = []() -> Handle* {
    const CublasLt* api = cuda::cublas_lt();
    if (!api) return nullptr;
    Handle* made = new Handle;  // never destroyed: at exit the driver may be gone before it
    made->api = api;
    const cuda::AllowCallsInCapture allow;
    const cublasStatus_t status = api->cublasLtCreate(&made->handle);
    if (status == CUBLAS_STATUS_SUCCESS) return made;
    warn("cuBLASLt: no handle: ", api->cublasLtGetStatusString(status), "; matrix products use the portable kernel");
    delete made;
    return nullptr;
  }();
  return only;
}

std::optional<cublasLtMatmulAlgo_t> choose(const Handle& on, const GemmKey& key) {
  const CublasLt& api = *on.api;
  const cuda::AllowCallsInCapture allow;
  const Description canonical(api, cuda::canonical_shape(key, kCanonicalM, 2), key.input, key.output);
  const Preference preference(api, key);
  cublasLtMatmulHeuristicResult_t answers[kMostCandidates] = {};
  int found = 0;
  if (api.cublasLtMatmulAlgoGetHeuristic(on.handle, canonical.operation, canonical.first.get(), canonical.second.get(),
                                         canonical.result.get(), canonical.result.get(), preference.get(),
                                         kMostCandidates, answers, &found) != CUBLAS_STATUS_SUCCESS)
    return std::nullopt;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulAlgo_t& algorithm = answers[i].algo;
    if (answers[i].state != CUBLAS_STATUS_SUCCESS || !splits_no_sum(api, algorithm)) continue;
    bool accepted = true;
    for (const int m : {1, kCanonicalM, kLargeM})
      for (const int batch : {1, 2})
        accepted =
            accepted &&
            Description(api, cuda::canonical_shape(key, m, batch), key.input, key.output).accepts(on.handle, algorithm);
    if (accepted) return algorithm;
  }
  return std::nullopt;
}

}  // namespace

void gemm(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& given) {
  const GemmShape shape = checked_gemm(given, c.type, a.type, b.type);
  Handle* const on = handle();
  if (!on || shape.k == 0) return gemm_portable(stream, c, write, a, b, shape);
  if (shape.m == 0 || shape.n == 0 || shape.batch == 0) return;
  const GemmKey key = cuda::gemm_key(shape, c, a, b);
  std::optional<cublasLtMatmulAlgo_t> algorithm;
  {
    const std::lock_guard lock(on->mutex);
    auto at = on->algorithms.find(key);
    if (at == on->algorithms.end()) {
      at = on->algorithms.emplace(key, choose(*on, key)).first;
      if (!at->second)  // once a key
        warn("cuBLASLt has no algorithm for products of n=", key.n, " k=", key.k, ", ", name_of(key.input), " to ",
             name_of(key.output),
             ", that keeps a row's bits; they run on the portable kernel, which uses no tensor cores");
    }
    algorithm = at->second;
  }
  if (!algorithm) return gemm_portable(stream, c, write, a, b, shape);
  const Range range("gemm");
  const CublasLt& api = *on->api;
  const Description d(api, shape, a.type, c.type);
  const float alpha = shape.alpha, beta = write == Write::Add ? 1.0f : 0.0f;
  const cublasStatus_t status =
      api.cublasLtMatmul(on->handle, d.operation, &alpha, b.data, d.first.get(), a.data, d.second.get(), &beta, c.data,
                         d.result.get(), c.data, d.result.get(), &*algorithm, nullptr, 0, stream.impl().handle);
  ITO_CHECK(status == CUBLAS_STATUS_SUCCESS, "gemm: cuBLASLt refuses m=", shape.m, " n=", shape.n, " k=", shape.k,
            " batch=", shape.batch, " ", name_of(a.type), " to ", name_of(c.type), ": ",
            api.cublasLtGetStatusString(status), "; ITO_PORTABLE_KERNELS=1 runs it on the portable kernel");
  check_launch(stream, "gemm");
}

}  // namespace ito
