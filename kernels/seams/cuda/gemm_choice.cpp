// SPDX-License-Identifier: Apache-2.0
// Pure arithmetic of the GEMM seam's descriptions: nothing here calls a library.
#include "kernels/seams/cuda/gemm_choice.h"

#include <algorithm>
#include <bit>

namespace ito::cuda {
namespace {

// The largest power of two, at most 16, that divides every byte distance and the address; a distance 0 is no distance.
int alignment(uint64_t address, int64_t row_bytes, int64_t matrix_bytes) {
  const uint64_t all = address | static_cast<uint64_t>(row_bytes) | static_cast<uint64_t>(matrix_bytes) | 16u;
  return 1 << std::countr_zero(all);
}

int alignment(ConstDataRef data, int64_t ld, int64_t stride) {
  const int64_t element = static_cast<int64_t>(size_of(data.type));
  return alignment(reinterpret_cast<uintptr_t>(data.data), ld * element, stride * element);
}

// The shortest row distance of at least `row` elements with exactly that alignment, or 16 bytes of it.
int64_t distance_of_alignment(int64_t row, int align, DType type) {
  const int64_t unit = std::max<int64_t>(1, align / static_cast<int64_t>(size_of(type)));
  int64_t units = (row + unit - 1) / unit;
  if (align < 16 && units % 2 == 0) ++units;
  return units * unit;
}

}  // namespace

GemmKey gemm_key(const GemmShape& shape, ConstDataRef c, ConstDataRef a, ConstDataRef b) {
  GemmKey key;
  key.n = shape.n;
  key.k = shape.k;
  key.transpose_a = shape.transpose_a;
  key.transpose_b = shape.transpose_b;
  key.input = a.type;
  key.output = c.type;
  key.align_a = alignment(a, shape.lda, shape.stride_a);
  key.align_b = alignment(b, shape.ldb, shape.stride_b);
  key.align_c = alignment(c, shape.ldc, shape.stride_c);
  return key;
}

ColumnMajorProduct column_major(const GemmShape& s) {
  ColumnMajorProduct p;
  p.first = {s.transpose_b ? s.k : s.n, s.transpose_b ? s.n : s.k, s.ldb, s.stride_b};
  p.second = {s.transpose_a ? s.m : s.k, s.transpose_a ? s.k : s.m, s.lda, s.stride_a};
  p.result = {s.n, s.m, s.ldc, s.stride_c};
  p.transpose_first = s.transpose_b;
  p.transpose_second = s.transpose_a;
  p.batch = s.batch;
  return p;
}

GemmShape canonical_shape(const GemmKey& key, int m, int batch) {
  GemmShape s;
  s.m = m;
  s.n = key.n;
  s.k = key.k;
  s.transpose_a = key.transpose_a;
  s.transpose_b = key.transpose_b;
  s.batch = batch;
  s.lda = distance_of_alignment(key.transpose_a ? m : key.k, key.align_a, key.input);
  s.ldb = distance_of_alignment(key.transpose_b ? key.k : key.n, key.align_b, key.input);
  s.ldc = distance_of_alignment(key.n, key.align_c, key.output);
  s.stride_a = s.lda * (key.transpose_a ? key.k : m);
  s.stride_b = s.ldb * (key.transpose_b ? key.n : key.k);
  s.stride_c = s.ldc * m;
  return s;
}

}  // namespace ito::cuda
