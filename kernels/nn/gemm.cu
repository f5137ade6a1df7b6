// SPDX-License-Identifier: Apache-2.0
// C[b] (+)= alpha op(A[b]) op(B[b]), row-major; shapes and strides as in seams/gemm.h.
// A block owns a 64 x 64 tile of C and walks K in steps of 16 through two shared tiles, zero where the matrices end;
// 256 threads own 4 x 4 elements each (one thread owns all of them where a block is one thread, with unit-stride rows).
// Memory: every element of A is read n / 64 times, of B m / 64 times. Sums run over K in index order, one fmaf a term,
// so an element's bits depend on its row and column alone, and are the same in every build.
// Refused: splitting K over blocks (the sum's shape would follow the grid); double buffering (the fast products are the
// tensor-core kernels and the libraries; this one is their reference).
#include "kernels/nn/gemm.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kTile = 64, kStep = 16;
constexpr int kGemmThreads = block_threads(256);
// Elements of C a thread owns: kOwn rows by kOwn columns.
constexpr int kOwn = kGemmThreads == 1 ? kTile : 4;
constexpr int kAcross = kTile / kOwn;

template <class C, class T, bool ADD>
KERNEL void gemm_kernel(C* c, const T* a, const T* b, GemmShape shape) {
  SHARED(float, a_tile, kStep* kTile);  // (k, row)
  SHARED(float, b_tile, kStep* kTile);  // (k, column)
  a += blockIdx.z * shape.stride_a;
  b += blockIdx.z * shape.stride_b;
  c += blockIdx.z * shape.stride_c;
  const int row0 = static_cast<int>(blockIdx.x) * kTile, column0 = static_cast<int>(blockIdx.y) * kTile;
  const int own_row = static_cast<int>(threadIdx.x) / kAcross * kOwn;
  const int own_column = static_cast<int>(threadIdx.x) % kAcross * kOwn;

  float sum[kOwn * kOwn] = {};
  for (int k0 = 0; k0 < shape.k; k0 += kStep) {
    // The thread index runs along the matrix's rows as stored, so that neighbouring threads read neighbouring elements.
    BLOCK_LOOP(e, kStep * kTile) {
      const int t = static_cast<int>(e);
      const int row = shape.transpose_a ? t % kTile : t / kStep, k = shape.transpose_a ? t / kTile : t % kStep;
      const bool inside = row0 + row < shape.m && k0 + k < shape.k;
      const int64_t at = shape.transpose_a ? (k0 + k) * shape.lda + row0 + row : (row0 + row) * shape.lda + k0 + k;
      a_tile[k * kTile + row] = inside ? to_float(a[at]) : 0.0f;
    }
    BLOCK_LOOP(e, kStep * kTile) {
      const int t = static_cast<int>(e);
      const int column = shape.transpose_b ? t / kStep : t % kTile, k = shape.transpose_b ? t % kStep : t / kTile;
      const bool inside = column0 + column < shape.n && k0 + k < shape.k;
      const int64_t at =
          shape.transpose_b ? (column0 + column) * shape.ldb + k0 + k : (k0 + k) * shape.ldb + column0 + column;
      b_tile[k * kTile + column] = inside ? to_float(b[at]) : 0.0f;
    }
    block_sync();
    const int steps = shape.k - k0 < kStep ? shape.k - k0 : kStep;
    for (int k = 0; k < steps; ++k) {
      for (int i = 0; i < kOwn; ++i) {
        const float left = a_tile[k * kTile + own_row + i];
        const float* right = b_tile + k * kTile + own_column;
        for (int j = 0; j < kOwn; ++j) sum[i * kOwn + j] = fmaf(left, right[j], sum[i * kOwn + j]);
      }
    }
    block_sync();
  }

  for (int i = 0; i < kOwn; ++i) {
    for (int j = 0; j < kOwn; ++j) {
      const int row = row0 + own_row + i, column = column0 + own_column + j;
      if (row < shape.m && column < shape.n) {
        C* out = c + row * shape.ldc + column;
        const float product = shape.alpha * sum[i * kOwn + j];
        *out = from_float<C>(ADD ? to_float(*out) + product : product);
      }
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

GemmShape checked_gemm(const GemmShape& given, DType c, DType a, DType b) {
  GemmShape shape = given;
  if (shape.lda == 0) shape.lda = shape.transpose_a ? shape.m : shape.k;
  if (shape.ldb == 0) shape.ldb = shape.transpose_b ? shape.k : shape.n;
  if (shape.ldc == 0) shape.ldc = shape.n;
  ITO_CHECK(shape.m >= 0 && shape.n >= 0 && shape.k >= 0 && shape.batch >= 0 && shape.batch <= 65535,
            "gemm: m=", shape.m, " n=", shape.n, " k=", shape.k, " batch=", shape.batch,
            ", expected none negative and at most 65535 matrices a call");
  ITO_CHECK(shape.lda >= (shape.transpose_a ? shape.m : shape.k) &&
                shape.ldb >= (shape.transpose_b ? shape.k : shape.n) && shape.ldc >= shape.n,
            "gemm: row distances lda=", shape.lda, " ldb=", shape.ldb, " ldc=", shape.ldc,
            " are shorter than the rows of m=", shape.m, " n=", shape.n, " k=", shape.k);
  ITO_CHECK(a == b && (c == a || c == DType::F32), "gemm: types ", name_of(a), " x ", name_of(b), " -> ", name_of(c),
            "; expected one storage type, or an fp32 result");
  return shape;
}

void gemm_portable(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& given) {
  const GemmShape shape = checked_gemm(given, c.type, a.type, b.type);
  if (shape.m == 0 || shape.n == 0) return;
  const Dim3 grid(ceil_div(shape.m, kTile), ceil_div(shape.n, kTile), shape.batch);
  ITO_CHECK(ceil_div(shape.n, kTile) <= 65535, "gemm_portable: n=", shape.n, " exceeds ", 65535 * kTile, " columns");
  by_type(a.type, [&](auto input) {
    by_type(c.type, [&](auto output) {
      using T = decltype(input);
      using C = decltype(output);
      if constexpr (std::is_same_v<C, float> || std::is_same_v<C, T>) {
        if (write == Write::Add) {
          launch<gemm_kernel<C, T, true>>("gemm_portable", grid, kGemmThreads, 0, stream, c.as<C>(), a.as<T>(),
                                          b.as<T>(), shape);
        } else {
          launch<gemm_kernel<C, T, false>>("gemm_portable", grid, kGemmThreads, 0, stream, c.as<C>(), a.as<T>(),
                                           b.as<T>(), shape);
        }
      }
    });
  });
}

}  // namespace ito
