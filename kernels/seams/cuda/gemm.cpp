// SPDX-License-Identifier: Apache-2.0
// Matrix products on a GPU: cuBLASLt with an algorithm a key (gemm_choice.h), the portable kernel where it has none.
// fp32 means fp32: no TF32, no emulation. No workspace is given, so no algorithm needs one and a capture freezes none.
// The heuristics are asked once a key, for kCanonicalM rows and two matrices; what they propose is taken if it splits
// no sum and is accepted for 1, kCanonicalM and kLargeM rows, one matrix and two. If it then refuses an m, that is an
// error: the portable kernel would give other bits.
#include <map>
#include <mutex>
#include <optional>

#include "kernels/nn/gemm.h"
#include "kernels/seams/cuda/gemm_library.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

using cuda::CublasLt;
using cuda::Description;
using cuda::GemmKey;
using cuda::Preference;

constexpr int kCanonicalM = 256, kLargeM = 8192;
constexpr int kMostCandidates = 16;

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

struct Algorithms {
  std::mutex mutex;
  std::map<GemmKey, std::optional<cublasLtMatmulAlgo_t>> of_key;  // nullopt: the portable kernel
};

Algorithms& algorithms() {
  static Algorithms& only = *new Algorithms;  // never destroyed: at exit a stream may still want one
  return only;
}

std::optional<cublasLtMatmulAlgo_t> choose(const cuda::BlasHandle& on, const GemmKey& key) {
  const CublasLt& api = *on.api;
  const cuda::AllowCallsInCapture allow;
  const Description canonical(api, cuda::canonical_shape(key, kCanonicalM, 2), key.input, key.output);
  const Preference preference(api, key, 0);
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
  const cuda::BlasHandle* const on = cuda::blas_handle();
  if (!on || shape.k == 0) return gemm_portable(stream, c, write, a, b, shape);
  if (shape.m == 0 || shape.n == 0 || shape.batch == 0) return;
  const GemmKey key = cuda::gemm_key(shape, c, a, b);
  std::optional<cublasLtMatmulAlgo_t> algorithm;
  {
    const std::lock_guard lock(algorithms().mutex);
    auto& of_key = algorithms().of_key;
    auto at = of_key.find(key);
    if (at == of_key.end()) {
      at = of_key.emplace(key, choose(*on, key)).first;
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
