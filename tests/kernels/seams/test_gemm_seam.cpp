// SPDX-License-Identifier: Apache-2.0
// The matrix-product seam against fp64 loops, and its promise about bits. A sum of k fp32 products errs, in any order,
// by at most k u times the sum of absolute values; alpha and the old value add two roundings more.
#include "kernels/seams/gemm.h"

#include "tests/cases/gemm.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/gemm.h"

namespace ito::test {
namespace {

// Matrices with memory behind the last row: a batch is a prefix of a larger one.
template <class T, class C>
struct Product {
  GemmShape s;
  Values a, b, old;
  DeviceArray<T> a_data, b_data;
  DeviceArray<C> c;
  Product(Stream& stream, const GemmShape& shape)
      : s(shape),
        a(stored<T>(random_values(s.batch * s.stride_a, 1))),
        b(stored<T>(random_values(s.batch * s.stride_b, 2))),
        old(stored<C>(random_values(s.batch * s.stride_c, 3))),
        a_data(stream, a),
        b_data(stream, b),
        c(stream, old) {}
  void run(Stream& stream, Write write, int first = 0, int batch = 0) {
    GemmShape part = s;
    part.batch = batch ? batch : s.batch;
    gemm(stream, c.data() + first * s.stride_c, write, a_data.data() + first * s.stride_a,
         b_data.data() + first * s.stride_b, part);
  }
};

template <class T, class C>
void check_gemm(const GemmShape& s, Write write) {
  Stream stream;
  Product<T, C> p(stream, s);
  const bool add = write == Write::Add;
  Values want = p.old, magnitude = absolute(p.old);
  ref::gemm(want, add, p.a, p.b, s);
  ref::gemm(magnitude, add, absolute(p.a), absolute(p.b), s);
  p.run(stream, write);
  const std::string what = join_text("gemm ", s.m, "x", s.n, "x", s.k, " ", s.transpose_a, s.transpose_b, " batch ",
                                     s.batch, add ? " add " : " set ", name_of(dtype_of<T>), " ", name_of(dtype_of<C>));
  expect_close(what, p.c.values(), want, kRound<C>, (s.k + 2) * kRoundFloat, magnitude);
}

// Long enough to be cut into bands of rows, the last one ragged.
std::vector<GemmShape> long_shapes() {
  return {cases::gemm(301, 128, 128, false, true, 1, 3, 0.25f), cases::gemm(290, 96, 200, true, false, 2, 1)};
}

TEST(GemmSeam, MatchesLoops) {
  std::vector<GemmShape> shapes = cases::gemm_shapes();
  for (const GemmShape& s : long_shapes()) shapes.push_back(s);
  for (const GemmShape& shape : shapes) {
    for (Write write : {Write::Set, Write::Add}) {
      check_gemm<float, float>(shape, write);
      if (!device_has_bf16()) continue;
      check_gemm<bf16, bf16>(shape, write);
      check_gemm<bf16, float>(shape, write);
    }
  }
}

TEST(GemmSeam, ZeroRowDistancesMeanPacked) {
  Stream stream;
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      GemmShape given = cases::gemm(7, 9, 5, ta, tb), packed = given;
      packed.lda = packed.ldb = packed.ldc = 0;
      DeviceArray<float> a(stream, random_values(35, 1)), b(stream, random_values(45, 2)), c(stream, 63), d(stream, 63);
      gemm(stream, c.data(), Write::Set, a.data(), b.data(), given);
      gemm(stream, d.data(), Write::Set, a.data(), b.data(), packed);
      EXPECT_EQ(c.bits(), d.bits());
    }
  }
}

template <class T>
class GemmBits : public ::testing::Test {
 public:
  void SetUp() override {
    if (dtype_of<T> == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products on this processor";
  }
  ~GemmBits() override { set_device_threads(0); }
};
TYPED_TEST_SUITE(GemmBits, StorageTypes);

TYPED_TEST(GemmBits, AMatrixDoesNotKnowItsBatchOrTheThreads) {
  using T = TypeParam;
  Stream stream;
  for (const GemmShape& s : {cases::gemm(49, 49, 64, false, true, 5, 0, 0.125f),
                             cases::gemm(66, 67, 18, true, true, 5, 5), cases::gemm(301, 128, 128, false, false, 5)}) {
    Product<T, T> p(stream, s);
    set_device_threads(1);
    p.run(stream, Write::Set);
    const std::string all = p.c.bits();
    const size_t matrix = s.stride_c * sizeof(T);
    for (int threads : {1, 2, 3, 5}) {
      set_device_threads(threads);
      for (const auto& [first, batch] : {std::pair{0, 5}, {0, 1}, {3, 1}, {2, 3}}) {
        p.c.upload(p.old);
        p.run(stream, Write::Set, first, batch);
        EXPECT_TRUE(p.c.bits().substr(first * matrix, batch * matrix) == all.substr(first * matrix, batch * matrix))
            << s.m << "x" << s.n << "x" << s.k << ": " << batch << " from " << first << ", " << threads << " threads";
      }
    }
  }
}

TYPED_TEST(GemmBits, CapturedEqualsEager) {
  using T = TypeParam;
  Stream stream;
  Product<T, T> p(stream, cases::gemm(49, 33, 20, false, true, 3, 2));
  p.run(stream, Write::Add);
  const std::string eager = p.c.bits();
  p.c.upload(p.old);
  stream.begin_capture();
  p.run(stream, Write::Add);
  const Graph graph = stream.end_capture();
  EXPECT_GE(graph.nodes(), 1u);  // a library may add a memset
  for (int replay = 0; replay < 2; ++replay) {
    p.c.upload(p.old);
    stream.replay(graph);
    EXPECT_EQ(eager, p.c.bits());
  }
}

TEST(GemmSeam, TheFastestProductIsTheSameUpToRounding) {
  Stream stream;
  for (const GemmShape& s : {cases::gemm(49, 33, 20, false, false), cases::gemm(128, 64, 96, false, true)}) {
    Product<float, float> p(stream, s);
    Values want(p.old.size(), 0.0), magnitude(p.old.size(), 0.0);
    ref::gemm(want, false, p.a, p.b, s);
    ref::gemm(magnitude, false, absolute(p.a), absolute(p.b), s);
    FastestGemm fastest(s, DType::F32);
    fastest.run(stream, p.c.data(), p.a_data.data(), p.b_data.data());
    expect_close("fastest", p.c.values(), want, kRoundFloat, (s.k + 2) * kRoundFloat, magnitude);
  }
}

TEST(GemmSeam, RefusesMixedTypes) {
  Stream stream;
  DeviceArray<float> f(stream, 64);
  DeviceArray<bf16> h(stream, 64);
  const GemmShape shape = cases::gemm(4, 4, 4, false, false);
  EXPECT_THROW(gemm(stream, f.data(), Write::Set, f.data(), h.data(), shape), Error);
  EXPECT_THROW(gemm(stream, h.data(), Write::Set, f.data(), f.data(), shape), Error);
}

}  // namespace
}  // namespace ito::test
