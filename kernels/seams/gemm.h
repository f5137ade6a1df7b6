// SPDX-License-Identifier: Apache-2.0
// The matrix-product seam: C[b] (+)= alpha * op(A[b]) op(B[b]), row-major, for b in [0, batch).
// A product is no line of the kernel table. Of what networks run, attention's family "products" alone calls gemm()
// (lanes/own_attention.cpp), and that is what the table records of such a layer: what runs each of its products follows
// from the layer's shape, its tensors' alignment and the device's library by a rule (cuda/gemm_choice.h) that knows
// neither m nor the number of matrices, which is the batch. A line a product could only repeat that. What the table
// therefore does not hold is whether the library was there, and which of its algorithms its version proposed: a layer
// on "products" has the same bits where the same library is installed.
#pragma once
#include <memory>

#include "kernels/seams/device.h"

namespace ito {

struct GemmShape {
  int m = 0, n = 0, k = 0;            // C is (m, n); op(A) (m, k); op(B) (k, n)
  bool transpose_a = false;           // A stored (k, m)
  bool transpose_b = false;           // B stored (n, k)
  int64_t lda = 0, ldb = 0, ldc = 0;  // row distances in elements as stored; 0: packed rows
  int batch = 1;
  int64_t stride_a = 0, stride_b = 0, stride_c = 0;  // distance of consecutive matrices, elements
  float alpha = 1.0f;
};

// c, a, b share a storage type, or c is fp32; accumulation is fp32. Element (i, j) of matrix b depends on row i of
// A and column j of B alone: the bits do not change with batch or threads.
void gemm(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& shape);

// The fastest product of one shape and type that the device's library offers: a ceiling to measure others by, and no
// part of a network, since it may take another order of sums for another number of rows. fp32 is fp32 here too.
class FastestGemm {
 public:
  FastestGemm(const GemmShape& shape, DType type);
  ~FastestGemm();
  FastestGemm(const FastestGemm&) = delete;
  FastestGemm& operator=(const FastestGemm&) = delete;
  void run(Stream& stream, DataRef c, ConstDataRef a, ConstDataRef b);  // c is set; aligned to 16 bytes

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ito
