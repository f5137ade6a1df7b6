// SPDX-License-Identifier: Apache-2.0
// The description that cuBLASLt gets of a row-major product, against plain loops, and the key of an algorithm.
#include "kernels/seams/cuda/gemm_choice.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/cases/gemm.h"

namespace ito::test {
namespace {

using namespace cuda;
using Values = std::vector<double>;

Values count_up(size_t count, int start) {
  Values values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<double>((start + 7 * i) % 23) - 11;
  return values;
}

double at(const Values& memory, const ColumnMajor& m, bool transpose, int64_t row, int64_t column, int64_t matrix) {
  if (transpose) std::swap(row, column);
  EXPECT_LT(row, m.rows);
  EXPECT_LT(column, m.columns);
  return memory[static_cast<size_t>(matrix * m.stride + column * m.ld + row)];
}

// What a column-major library computes from the description.
Values by_library(const ColumnMajorProduct& p, const Values& first, const Values& second, int64_t k, size_t count) {
  Values result(count, 0.0);
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t j = 0; j < p.result.columns; ++j)
      for (int64_t i = 0; i < p.result.rows; ++i) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += at(first, p.first, p.transpose_first, i, l, b) * at(second, p.second, p.transpose_second, l, j, b);
        result[static_cast<size_t>(b * p.result.stride + j * p.result.ld + i)] = sum;
      }
  return result;
}

Values by_rows(const GemmShape& s, const Values& a, const Values& b, size_t count) {
  Values c(count, 0.0);
  for (int64_t batch = 0; batch < s.batch; ++batch)
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < s.k; ++l)
          sum += a[static_cast<size_t>(batch * s.stride_a + (s.transpose_a ? l * s.lda + i : i * s.lda + l))] *
                 b[static_cast<size_t>(batch * s.stride_b + (s.transpose_b ? j * s.ldb + l : l * s.ldb + j))];
        c[static_cast<size_t>(batch * s.stride_c + i * s.ldc + j)] = sum;
      }
  return c;
}

TEST(GemmChoice, TheSwappedProductIsTheSame) {
  std::vector<GemmShape> shapes = cases::gemm_shapes();
  for (bool ta : {false, true})
    for (bool tb : {false, true}) shapes.push_back(cases::gemm(3, 5, 4, ta, tb, 2, 3));
  for (const GemmShape& s : shapes) {
    const Values a = count_up(static_cast<size_t>(s.batch * s.stride_a), 1);
    const Values b = count_up(static_cast<size_t>(s.batch * s.stride_b), 5);
    const size_t count = static_cast<size_t>(s.batch * s.stride_c);
    EXPECT_EQ(by_library(column_major(s), b, a, s.k, count), by_rows(s, a, b, count))
        << s.m << "x" << s.n << "x" << s.k << " " << s.transpose_a << s.transpose_b;
  }
}

// Memory that starts `offset` bytes after a multiple of 256.
const void* address(int offset) {
  return reinterpret_cast<const void*>(uintptr_t{0x1000} + static_cast<uintptr_t>(offset));
}

GemmKey key_of(const GemmShape& s, DType type, int offset = 0) {
  return gemm_key(s, {address(0), DType::F32}, {address(offset), type}, {address(0), type});
}

TEST(GemmChoice, TheKeyKnowsNeitherRowsNorBatch) {
  const GemmKey key = key_of(cases::gemm(256, 96, 64, false, true, 4), DType::BF16);
  EXPECT_EQ(key, key_of(cases::gemm(1, 96, 64, false, true, 1), DType::BF16));
  EXPECT_EQ(key, key_of(cases::gemm(300, 96, 64, false, true, 9), DType::BF16));
  EXPECT_NE(key, key_of(cases::gemm(256, 96, 64, false, true, 4), DType::F32));
  EXPECT_NE(key, key_of(cases::gemm(256, 97, 64, false, true, 4), DType::BF16));
  EXPECT_NE(key, key_of(cases::gemm(256, 96, 65, false, true, 4), DType::BF16));
  EXPECT_NE(key, key_of(cases::gemm(256, 96, 64, false, false, 4), DType::BF16));
}

TEST(GemmChoice, TheKeyHasTheAlignmentOfRowsMatricesAndAddress) {
  GemmShape s = cases::gemm(8, 96, 64, false, false, 2);
  EXPECT_EQ(key_of(s, DType::BF16).align_a, 16);
  EXPECT_EQ(key_of(s, DType::BF16, 8).align_a, 8);
  s.lda = 66;  // 132 bytes
  EXPECT_EQ(key_of(s, DType::BF16).align_a, 4);
  EXPECT_EQ(key_of(s, DType::F32).align_a, 8);
  s.stride_a = 601;
  EXPECT_EQ(key_of(s, DType::BF16).align_a, 2);
  EXPECT_EQ(key_of(s, DType::BF16).align_b, 16);
}

TEST(GemmChoice, TheCanonicalProductHasTheKey) {
  for (const DType type : {DType::F32, DType::BF16})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const int n : {1, 33, 96})
          for (const int align : {4, 8, 16})
            for (const int m : {1, 256, 8192})
              for (const int batch : {1, 2}) {
                GemmKey key = key_of(cases::gemm(4, n, 64, ta, tb), type);
                key.align_a = key.align_b = key.align_c = align;
                const GemmShape s = canonical_shape(key, m, batch);
                EXPECT_EQ(key_of(s, type), key) << n << " " << align << " " << m << " " << batch << " " << ta << tb;
                EXPECT_GE(s.lda, ta ? m : 64);
                EXPECT_GE(s.ldb, tb ? 64 : n);
                EXPECT_GE(s.ldc, n);
              }
}

}  // namespace
}  // namespace ito::test
