// SPDX-License-Identifier: Apache-2.0
// The attention seam against fp64 loops, and its promise about bits. Bounds, with u = 2^-24 and r one rounding of the
// storage type: an error e of a logit is a relative error e of its probability p. A logit is a sum of D products, which
// errs by at most D u scale sum|q k|; the exponential, the sum and the division add a few u and tokens u; a seam may
// store p and dS once in the storage type before it multiplies them, one r each. Magnitudes are those of the whole
// case.
#include "kernels/seams/attention.h"

#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/attention.h"

namespace ito::test {
namespace {

struct Inputs {
  Values q, k, v, dout;
};

template <class T>
Inputs make(const AttentionShape& s, double q_size = 1.0) {
  const size_t count = size_t(s.n) * s.tokens * s.heads * s.head_dim;
  return {stored<T>(random_values(count, 1, q_size)), stored<T>(random_values(count, 2)),
          stored<T>(random_values(count, 3)), stored<T>(random_values(count, 4))};
}

double largest(const Values& values) {
  double top = 0;
  for (double v : values) top = std::max(top, std::fabs(v));
  return top;
}

// The largest sum of |a b| over the D elements of one token's head, for any two tokens.
double largest_dot(const Values& a, const Values& b, const AttentionShape& s) {
  double square_a = 0, square_b = 0;
  for (size_t first = 0; first < a.size(); first += s.head_dim) {
    double sum_a = 0, sum_b = 0;
    for (int d = 0; d < s.head_dim; ++d) {
      sum_a += a[first + d] * a[first + d];
      sum_b += b[first + d] * b[first + d];
    }
    square_a = std::max(square_a, sum_a);
    square_b = std::max(square_b, sum_b);
  }
  return std::sqrt(square_a * square_b);
}

template <class T>
struct Bounds {
  double lse, out, dq, dk, dv;
  Bounds(const AttentionShape& s, const Inputs& in) {
    const double u = kRoundFloat, r = std::is_same_v<T, bf16> ? kRound<T> : 0.0, d = s.head_dim, tokens = s.tokens;
    const double q = largest(in.q), k = largest(in.k), v = largest(in.v), g = largest(in.dout);
    const double logit = d * u * s.scale * largest_dot(in.q, in.k, s);
    lse = 2 * logit + (tokens + 16) * u;
    const double p = lse + logit + (tokens + 16) * u;      // relative, of a probability
    out = (p + r) * v;                                     // sum_j p_j = 1
    const double dp_size = largest_dot(in.dout, in.v, s);  // of dP and of delta
    const double delta = d * u * dp_size + kRound<T> * dp_size + p * dp_size;
    const double ds =
        2 * p * dp_size + d * u * dp_size + delta + r * 2 * dp_size;  // over p_j, summed with sum_j p_j = 1
    dq = s.scale * k * (ds + tokens * u * 2 * dp_size);
    // Down a column the p_ij do not sum to 1, but to at most tokens; the mean is 1.
    column_ = 0;
    const ref::AttentionForward f = ref::attention_forward(in.q, in.k, in.v, s);
    for (int head = 0; head < s.n * s.heads; ++head) {
      for (int j = 0; j < s.tokens; ++j) {
        double sum = 0;
        for (int i = 0; i < s.tokens; ++i) sum += f.probabilities[(size_t(head) * s.tokens + i) * s.tokens + j];
        column_ = std::max(column_, sum);
      }
    }
    dk = s.scale * q * column_ * (ds + tokens * u * 2 * dp_size);
    dv = g * column_ * (p + r + tokens * u);
  }

 private:
  double column_;
};

template <class T>
struct Results {
  DeviceArray<T> q, k, v, dout, out, dq, dk, dv;
  DeviceArray<float> lse;
  DeviceArray<char> workspace;
  AttentionShape s;
  Results(Stream& stream, const AttentionShape& shape, const Inputs& in)
      : q(stream, in.q),
        k(stream, in.k),
        v(stream, in.v),
        dout(stream, in.dout),
        out(stream, in.q.size()),
        dq(stream, in.q.size()),
        dk(stream, in.q.size()),
        dv(stream, in.q.size()),
        lse(stream, size_t(shape.n) * shape.heads * shape.tokens),
        workspace(stream, std::max(attention_forward_workspace(shape, dtype_of<T>),
                                   attention_backward_workspace(shape, dtype_of<T>))),
        s(shape) {}
  void run(Stream& stream) {
    attention_forward(stream, out.data(), lse, q.data(), k.data(), v.data(), s, workspace.data());
    attention_backward(stream, dq.data(), dk.data(), dv.data(), dout.data(), out.data(), lse, q.data(), k.data(),
                       v.data(), s, workspace.data());
  }
  std::string bits() const { return out.bits() + lse.bits() + dq.bits() + dk.bits() + dv.bits(); }
};

template <class T>
void check_attention(const AttentionShape& s, double q_size = 1.0) {
  Stream stream;
  SCOPED_TRACE(
      join_text("n ", s.n, ", tokens ", s.tokens, ", heads ", s.heads, ", D ", s.head_dim, " ", name_of(dtype_of<T>)));
  const Inputs in = make<T>(s, q_size);
  Results<T> run(stream, s, in);
  run.run(stream);
  const ref::AttentionForward want = ref::attention_forward(in.q, in.k, in.v, s);
  const ref::AttentionGradients grad = ref::attention_backward(in.dout, in.q, in.k, in.v, s);
  const Bounds<T> bound(s, in);
  expect_close("lse", run.lse.values(), want.lse, 2 * kRoundFloat, bound.lse);
  expect_close("out", run.out.values(), want.out, kRound<T>, bound.out);
  expect_close("dq", run.dq.values(), grad.dq, kRound<T>, bound.dq);
  expect_close("dk", run.dk.values(), grad.dk, kRound<T>, bound.dk);
  expect_close("dv", run.dv.values(), grad.dv, kRound<T>, bound.dv);
}

template <class T>
class AttentionSeam : public ::testing::Test {
 public:
  void SetUp() override {
    if (dtype_of<T> == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products on this processor";
  }
  ~AttentionSeam() override { set_device_threads(0); }
};
TYPED_TEST_SUITE(AttentionSeam, StorageTypes);

TYPED_TEST(AttentionSeam, MatchesLoops) {
  for (const AttentionShape& s : cases::attention_shapes()) check_attention<TypeParam>(s);
  check_attention<TypeParam>(cases::attention(1, 64, 2, 32));
  check_attention<TypeParam>(cases::attention(1, 150, 2, 16));  // several blocks of queries, the last one ragged
}

// Logits of several hundreds: without subtracting the maximum the exponentials would overflow.
TEST(AttentionSeamRange, LargeLogits) {
  const AttentionShape s = cases::attention(1, 50, 1, 16);
  const Inputs in = make<float>(s, 100.0);
  EXPECT_GT(largest(ref::attention_forward(in.q, in.k, in.v, s).lse), 150.0);
  check_attention<float>(s, 100.0);
}

TYPED_TEST(AttentionSeam, ImagesDoNotKnowTheirBatchOrTheThreads) {
  using T = TypeParam;
  Stream stream;
  const AttentionShape all = cases::attention(5, 70, 2, 24);
  const Inputs in = make<T>(all);
  Results<T> whole(stream, all, in);
  set_device_threads(1);
  whole.run(stream);
  const size_t image = 70 * 2 * 24;
  for (int threads : {1, 2, 3, 5}) {
    set_device_threads(threads);
    for (const auto& [first, n] : {std::pair<size_t, int>{0, 5}, {0, 1}, {3, 1}, {1, 3}}) {
      SCOPED_TRACE(join_text(n, " images from ", first, ", ", threads, " threads"));
      const auto part = [&](const Values& v) {
        return Values(v.begin() + first * image, v.begin() + (first + n) * image);
      };
      AttentionShape s = all;
      s.n = n;
      Results<T> some(stream, s, {part(in.q), part(in.k), part(in.v), part(in.dout)});
      some.run(stream);
      const auto equal = [&](const DeviceArray<T>& a, const DeviceArray<T>& b) {
        return a.bits() == b.bits().substr(first * image * sizeof(T), n * image * sizeof(T));
      };
      EXPECT_TRUE(equal(some.out, whole.out));
      EXPECT_TRUE(equal(some.dq, whole.dq));
      EXPECT_TRUE(equal(some.dk, whole.dk));
      EXPECT_TRUE(equal(some.dv, whole.dv));
    }
  }
}

TYPED_TEST(AttentionSeam, CapturedEqualsEager) {
  using T = TypeParam;
  Stream stream;
  const AttentionShape s = cases::attention(2, 49, 2, 16);
  Results<T> eager(stream, s, make<T>(s)), captured(stream, s, make<T>(s));
  eager.run(stream);
  stream.begin_capture();
  captured.run(stream);
  const Graph graph = stream.end_capture();
  EXPECT_GE(graph.nodes(), 2u);
  stream.replay(graph);
  EXPECT_EQ(eager.bits(), captured.bits());
}

}  // namespace
}  // namespace ito::test
