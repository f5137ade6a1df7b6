// SPDX-License-Identifier: Apache-2.0
// The portable attention and its gradients against fp64 loops; the loops against finite differences.
#include "kernels/nn/attention.h"

#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/attention.h"

namespace ito::test {
namespace {

struct Inputs {
  Values q, k, v, dout;
};

template <class T>
Inputs make(const AttentionShape& s, double logit_size = 1.0) {
  const size_t count = size_t(s.n) * s.tokens * s.heads * s.head_dim;
  return {stored<T>(random_values(count, 1, logit_size)), stored<T>(random_values(count, 2)),
          stored<T>(random_values(count, 3)), stored<T>(random_values(count, 4))};
}

double largest(const Values& v) {
  double top = 0;
  for (double x : v) top = std::max(top, std::fabs(x));
  return top;
}

// A sum of n fp32 terms in order errs by at most about n half units of the sum of absolute values and in practice by
// less than 4 sqrt(n) (Higham and Mary 2019).
double sum_units(double terms) {
  return std::min(terms, 4 * std::sqrt(terms));
}

// An error e of a logit and of lse turns into a relative error e of p. A logit is a sum over D, an lse one over the
// tokens; the exponential adds 4 half units. A gradient sums over D inside (dp, delta) and over the tokens outside.
struct Units {
  double probability, sum;
  Units(const AttentionShape& s, const ref::AttentionForward& want) {
    const double logits = (sum_units(s.head_dim) + 2) * want.logit_magnitude;
    probability = (2 * logits + sum_units(s.tokens) + 8) * kRoundFloat;
    sum = probability + (sum_units(s.head_dim) + sum_units(s.tokens) + 8) * kRoundFloat;
  }
};

template <class T>
class Attention : public ::testing::Test {};
TYPED_TEST_SUITE(Attention, StorageTypes);

template <class T>
struct Results {
  DeviceArray<T> q, k, v, dout, out, dq, dk, dv;
  DeviceArray<float> lse, delta;
  Results(Stream& stream, const AttentionShape& s, const Inputs& in)
      : q(stream, in.q),
        k(stream, in.k),
        v(stream, in.v),
        dout(stream, in.dout),
        out(stream, in.q.size()),
        dq(stream, in.q.size()),
        dk(stream, in.q.size()),
        dv(stream, in.q.size()),
        lse(stream, size_t(s.n) * s.heads * s.tokens),
        delta(stream, attention_portable_workspace(s) / 4) {
    attention_portable_forward(stream, out.data(), lse, q.data(), k.data(), v.data(), s);
    attention_portable_backward(stream, dq.data(), dk.data(), dv.data(), dout.data(), out.data(), lse, q.data(),
                                k.data(), v.data(), s, delta.data());
  }
};

TYPED_TEST(Attention, MatchesLoops) {
  using T = TypeParam;
  for (const AttentionShape& s : cases::attention_shapes()) {
    Stream stream;
    const std::string what = join_text("attention n=", s.n, " tokens=", s.tokens, " heads=", s.heads, " D=", s.head_dim,
                                       " ", name_of(dtype_of<T>));
    const Inputs in = make<T>(s);
    const Results<T> run(stream, s, in);
    const ref::AttentionForward want = ref::attention_forward(in.q, in.k, in.v, s);
    const ref::AttentionGradients grad = ref::attention_backward(in.dout, in.q, in.k, in.v, s);
    const Units units(s, want);
    expect_close(what + " out", run.out.values(), want.out, kRound<T>, units.sum, want.out_magnitude);
    expect_close(what + " lse", run.lse.values(), want.lse, 2 * kRoundFloat, units.probability);
    // delta comes from the stored out: one rounding of T in every term.
    const double gradient = units.sum + (sizeof(T) == 2 ? kRound<T> : 0.0);
    expect_close(what + " dq", run.dq.values(), grad.dq, kRound<T>, gradient, grad.dq_magnitude);
    expect_close(what + " dk", run.dk.values(), grad.dk, kRound<T>, gradient, grad.dk_magnitude);
    expect_close(what + " dv", run.dv.values(), grad.dv, kRound<T>, units.sum, grad.dv_magnitude);
  }
}

// Logits of several hundreds: without the running maximum the exponentials would overflow.
TEST(AttentionRange, LargeLogits) {
  Stream stream;
  const AttentionShape s = cases::attention(1, 50, 1, 16);
  const Inputs in = make<float>(s, 100.0);
  const Results<float> run(stream, s, in);
  const ref::AttentionForward want = ref::attention_forward(in.q, in.k, in.v, s);
  const Units units(s, want);
  EXPECT_GT(largest(want.lse), 150.0);
  expect_close("out", run.out.values(), want.out, kRoundFloat, units.sum, want.out_magnitude);
  expect_close("lse", run.lse.values(), want.lse, 2 * kRoundFloat, units.probability);
}

TYPED_TEST(Attention, AnImageDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Stream stream;
  const AttentionShape three = cases::attention(3, 35, 2, 24), one = cases::attention(1, 35, 2, 24);
  const Inputs in = make<T>(three);
  const Results<T> all(stream, three, in);
  const size_t image = 35 * 2 * 24;
  for (int i : {0, 2}) {
    const auto part = [&](const Values& v) { return Values(v.begin() + i * image, v.begin() + (i + 1) * image); };
    const Results<T> alone(stream, one, {part(in.q), part(in.k), part(in.v), part(in.dout)});
    const size_t bytes = alone.out.bytes();
    EXPECT_EQ(alone.out.bits(), all.out.bits().substr(i * bytes, bytes));
    EXPECT_EQ(alone.dq.bits(), all.dq.bits().substr(i * bytes, bytes));
    EXPECT_EQ(alone.dk.bits(), all.dk.bits().substr(i * bytes, bytes));
    EXPECT_EQ(alone.dv.bits(), all.dv.bits().substr(i * bytes, bytes));
  }
}

TEST(AttentionReference, MatchesFiniteDifferences) {
  const AttentionShape s = cases::attention(2, 4, 2, 3);
  const Inputs in = make<float>(s);
  const ref::AttentionGradients grad = ref::attention_backward(in.dout, in.q, in.k, in.v, s);
  const auto loss = [&](const Values& q, const Values& k, const Values& v) {
    return dot(in.dout, ref::attention_forward(q, k, v, s).out);
  };
  expect_gradient(
      "q", [&](const Values& x) { return loss(x, in.k, in.v); }, in.q, grad.dq);
  expect_gradient(
      "k", [&](const Values& x) { return loss(in.q, x, in.v); }, in.k, grad.dk);
  expect_gradient(
      "v", [&](const Values& x) { return loss(in.q, in.k, x); }, in.v, grad.dv);
}

TEST(AttentionChecks, RefusesWideHeads) {
  Stream stream;
  DeviceArray<float> x(stream, 1024);
  EXPECT_THROW(
      attention_portable_forward(stream, x.data(), x, x.data(), x.data(), x.data(), cases::attention(1, 1, 1, 513)),
      Error);
}

}  // namespace
}  // namespace ito::test
