// SPDX-License-Identifier: Apache-2.0
// The portable matrix product against fp64 loops.
#include "kernels/nn/gemm.h"

#include "tests/cases/gemm.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/gemm.h"

namespace ito::test {
namespace {

// A sum of k fp32 products in index order errs by at most about k half units of the sum of absolute values; products
// with alpha and the old value add two more.
template <class T, class C>
void check_gemm(const GemmShape& s, Write write) {
  Stream stream;
  const Values a = stored<T>(random_values(s.batch * s.stride_a, 1));
  const Values b = stored<T>(random_values(s.batch * s.stride_b, 2));
  const Values old = stored<C>(random_values(s.batch * s.stride_c, 3));
  const bool add = write == Write::Add;
  Values want = old, magnitude = absolute(old);
  ref::gemm(want, add, a, b, s);
  ref::gemm(magnitude, add, absolute(a), absolute(b), s);
  DeviceArray<T> da(stream, a), db(stream, b);
  DeviceArray<C> dc(stream, old);
  gemm_portable(stream, dc.data(), write, da.data(), db.data(), s);
  const std::string what = join_text("gemm ", s.m, "x", s.n, "x", s.k, " ", s.transpose_a, s.transpose_b, " batch ",
                                     s.batch, add ? " add " : " set ", name_of(dtype_of<C>));
  expect_close(what, dc.values(), want, kRound<C>, (s.k + 2) * kRoundFloat, magnitude);
}

TEST(Gemm, MatchesLoops) {
  for (const GemmShape& shape : cases::gemm_shapes()) {
    for (Write write : {Write::Set, Write::Add}) {
      check_gemm<float, float>(shape, write);
      check_gemm<bf16, bf16>(shape, write);
      check_gemm<bf16, float>(shape, write);
    }
  }
}

TEST(Gemm, ZeroRowDistancesMeanPacked) {
  Stream stream;
  GemmShape given = cases::gemm(7, 9, 5, true, true), packed = given;
  given.lda = given.ldb = given.ldc = 0;
  DeviceArray<float> a(stream, random_values(35, 1)), b(stream, random_values(45, 2)), c(stream, 63), d(stream, 63);
  gemm_portable(stream, c.data(), Write::Set, a.data(), b.data(), given);
  gemm_portable(stream, d.data(), Write::Set, a.data(), b.data(), packed);
  EXPECT_EQ(c.bits(), d.bits());
}

TEST(Gemm, AnElementDoesNotDependOnTheOthers) {
  Stream stream;
  DeviceArray<float> a(stream, random_values(100 * 50, 1)), b(stream, random_values(50 * 80, 2));
  DeviceArray<float> all(stream, 100 * 80), some(stream, 3 * 80);
  gemm_portable(stream, all.data(), Write::Set, a.data(), b.data(), cases::gemm(100, 80, 50, false, false));
  gemm_portable(stream, some.data(), Write::Set, a.data() + 90 * 50, b.data(), cases::gemm(3, 80, 50, false, false));
  EXPECT_EQ(some.bits(), all.bits().substr(90 * 80 * 4, 3 * 80 * 4));
}

TEST(Gemm, RefusesShortRowsAndMixedTypes) {
  Stream stream;
  DeviceArray<float> f(stream, 64);
  DeviceArray<bf16> h(stream, 64);
  GemmShape shape = cases::gemm(4, 4, 4, false, false);
  EXPECT_THROW(gemm_portable(stream, f.data(), Write::Set, f.data(), h.data(), shape), Error);
  EXPECT_THROW(gemm_portable(stream, h.data(), Write::Set, f.data(), f.data(), shape), Error);
  shape.lda = 3;
  EXPECT_THROW(gemm_portable(stream, f.data(), Write::Set, f.data(), f.data(), shape), Error);
}

}  // namespace
}  // namespace ito::test
