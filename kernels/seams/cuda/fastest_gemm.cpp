// SPDX-License-Identifier: Apache-2.0
// The fastest product of a GPU, by what cuBLASLt's heuristics say first for the very shape with a workspace.
#include "kernels/nn/gemm.h"
#include "kernels/seams/cuda/gemm_library.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/cuda/stream.h"
#include "kernels/seams/lanes/trial.h"

namespace ito {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what the library's makers recommend for a Hopper card

// Addresses that are aligned as device_allocate's are.
cuda::GemmKey key_of(const GemmShape& shape, DType type) {
  return cuda::gemm_key(shape, {nullptr, type}, {nullptr, type}, {nullptr, type});
}

}  // namespace

struct FastestGemm::Impl {
  GemmShape shape;
  DType type;
  cublasLtMatmulAlgo_t algorithm{};
  std::unique_ptr<cuda::Description> description;  // null: the portable kernel
  DeviceBlock workspace{kWorkspace};
};

FastestGemm::FastestGemm(const GemmShape& given, DType type) : impl_(std::make_unique<Impl>()) {
  Impl& m = *impl_;
  m.shape = checked_gemm(given, type, type, type);
  m.type = type;
  const cuda::BlasHandle* const on = cuda::blas_handle();
  if (!on) return;
  auto description = std::make_unique<cuda::Description>(*on->api, m.shape, type, type);
  const cuda::Preference preference(*on->api, key_of(m.shape, type), kWorkspace);
  cublasLtMatmulHeuristicResult_t answer{};
  int found = 0;
  if (on->api->cublasLtMatmulAlgoGetHeuristic(on->handle, description->operation, description->first.get(),
                                              description->second.get(), description->result.get(),
                                              description->result.get(), preference.get(), 1, &answer,
                                              &found) != CUBLAS_STATUS_SUCCESS ||
      found == 0) {
    warn("cuBLASLt proposes nothing for a product of ", m.shape.m, " x ", m.shape.n, " x ", m.shape.k, ", ",
         name_of(type), "; the portable kernel runs it");
    return;
  }
  m.algorithm = answer.algo;
  m.description = std::move(description);
}

FastestGemm::~FastestGemm() = default;

void FastestGemm::run(Stream& stream, DataRef c, ConstDataRef a, ConstDataRef b) {
  const Impl& m = *impl_;
  if (!m.description) return gemm_portable(stream, c, Write::Set, a, b, m.shape);
  const cuda::BlasHandle& on = *cuda::blas_handle();
  const cuda::Description& d = *m.description;
  const float alpha = m.shape.alpha, beta = 0.0f;
  cuda::check_blas(*on.api,
                   on.api->cublasLtMatmul(on.handle, d.operation, &alpha, b.data, d.first.get(), a.data, d.second.get(),
                                          &beta, c.data, d.result.get(), c.data, d.result.get(), &m.algorithm,
                                          m.workspace.data(), kWorkspace, stream.impl().handle),
                   "the fastest product");
  check_launch(stream, "fastest_gemm");
}

}  // namespace ito
