// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores and its gradients against fp64 loops, in every layout and width there is a kernel for, and
// its promises about bits.
#include "kernels/nn/attention_sm80.h"

#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/attention.h"

namespace ito::test {
namespace {

constexpr double kRoundBf16 = kRound<bf16>;

struct Inputs {
  Values q, k, v, dout;
};

Inputs make(const AttentionShape& s, double q_size = 1.0) {
  const size_t count = size_t(s.n) * s.tokens * s.heads * s.head_dim;
  return {stored<bf16>(random_values(count, 1, q_size)), stored<bf16>(random_values(count, 2)),
          stored<bf16>(random_values(count, 3)), stored<bf16>(random_values(count, 4))};
}

// q, k, v as thirds of the rows of one tensor, or the gradients taken apart again.
Values pack(const Inputs& in, const AttentionShape& s) {
  const size_t row = size_t(s.heads) * s.head_dim, rows = size_t(s.n) * s.tokens;
  Values out(3 * rows * row);
  for (size_t i = 0; i < rows * row; ++i)
    for (int part = 0; part < 3; ++part)
      out[(i / row * 3 + part) * row + i % row] = (part == 0 ? in.q : part == 1 ? in.k : in.v)[i];
  return out;
}

struct Results {
  Values out, lse, dq, dk, dv;
  bool operator==(const Results&) const = default;
};

Results run(const AttentionShape& s, const Inputs& in, bool packed = false) {
  Stream stream;
  const size_t count = in.q.size(), row = size_t(s.heads) * s.head_dim;
  const AttentionLayout layout = packed ? AttentionLayout::packed(s) : AttentionLayout::separate(s);
  EXPECT_TRUE(attention_sm80_takes(s, DType::BF16, layout));
  Values all = in.q;
  all.insert(all.end(), in.k.begin(), in.k.end());
  all.insert(all.end(), in.v.begin(), in.v.end());
  const DeviceArray<bf16> qkv(stream, packed ? pack(in, s) : all), dqkv(stream, 3 * count), dout(stream, in.dout),
      out(stream, count);
  const DeviceArray<float> lse(stream, size_t(s.n) * s.heads * s.tokens);
  const DeviceArray<char> workspace(stream, attention_sm80_workspace(s));
  const size_t part = packed ? row : count;
  const bf16* q = qkv.data();
  attention_sm80_forward(stream, out.data(), lse, q, q + part, q + 2 * part, s, layout);
  bf16* dq = dqkv.data();
  attention_sm80_backward(stream, dq, dq + part, dq + 2 * part, dout.data(), out.data(), lse, q, q + part, q + 2 * part,
                          s, layout, workspace.data());
  Results r{out.values(), lse.values(), {}, {}, {}};
  const Values gradients = dqkv.values();
  for (size_t i = 0; i < count; ++i) {
    const size_t at = packed ? i / row * 3 * row + i % row : i;
    r.dq.push_back(gradients[at]);
    r.dk.push_back(gradients[at + part]);
    r.dv.push_back(gradients[at + 2 * part]);
  }
  return r;
}

double sum_units(double terms) {  // as in tests/kernels/nn/test_attention.cpp
  return std::min(terms, 4 * std::sqrt(terms));
}

// fp32: a logit is a sum over D, and its error and that of lse are a relative error of p, to which the exponential adds
// 2^-22; then sums over D (dp, delta) and over the tokens. bf16: p is rounded for its product; so is ds, and delta
// comes from an out that was rounded and whose p were: 3 roundings of terms that `magnitude` sums up.
void check(const AttentionShape& s, const Results& got, const Inputs& in) {
  const std::string what = join_text("n=", s.n, " tokens=", s.tokens, " heads=", s.heads, " D=", s.head_dim);
  const ref::AttentionForward want = ref::attention_forward(in.q, in.k, in.v, s);
  const ref::AttentionGradients grad = ref::attention_backward(in.dout, in.q, in.k, in.v, s);
  const double logits = (sum_units(s.head_dim) + 4) * want.logit_magnitude;
  const double probability = (2 * logits + sum_units(s.tokens) + 8) * kRoundFloat;
  const double fp32 = probability + (sum_units(s.head_dim) + sum_units(s.tokens) + 8) * kRoundFloat;
  expect_close(what + " out", got.out, want.out, kRoundBf16, fp32 + kRoundBf16, want.out_magnitude);
  expect_close(what + " lse", got.lse, want.lse, 2 * kRoundFloat, probability);
  expect_close(what + " dq", got.dq, grad.dq, kRoundBf16, fp32 + 3 * kRoundBf16, grad.dq_magnitude);
  expect_close(what + " dk", got.dk, grad.dk, kRoundBf16, fp32 + 3 * kRoundBf16, grad.dk_magnitude);
  expect_close(what + " dv", got.dv, grad.dv, kRoundBf16, fp32 + kRoundBf16, grad.dv_magnitude);
}

// Every width there is a kernel for and padded ones; one tile, whole tiles, ragged ones; several heads and images.
TEST(AttentionSm80, MatchesLoops) {
  for (const AttentionShape& s :
       {cases::attention(2, 49, 3, 32), cases::attention(1, 1, 2, 8), cases::attention(1, 150, 2, 64),
        cases::attention(1, 64, 1, 40), cases::attention(1, 130, 1, 128), cases::attention(1, 81, 1, 256),
        cases::attention(1, 33, 1, 136)}) {
    const Inputs in = make(s);
    check(s, run(s, in), in);
  }
}

// Logits of hundreds: exponentials would overflow without the running maximum, and most of the p are 0.
TEST(AttentionSm80, LargeLogits) {
  const AttentionShape s = cases::attention(1, 70, 1, 32);
  const Inputs in = make(s, 100.0);
  const Results got = run(s, in);
  EXPECT_GT(*std::max_element(got.lse.begin(), got.lse.end()), 150.0);
  check(s, got, in);
}

// Logits around -100, and keys missing in the last tile: where there is no key, 2^(0 - lse log2 e) can be infinite. It
// is for an lse near -88.7, which some rows have.
TEST(AttentionSm80, SmallLogits) {
  const AttentionShape s = cases::attention(1, 70, 3, 32);
  Inputs in = make(s);
  for (double& v : in.q) v = widen(narrow<bf16>(v + 4.2));
  for (double& v : in.k) v = widen(narrow<bf16>(v - 4.2));
  const Results got = run(s, in);
  EXPECT_TRUE(std::any_of(got.lse.begin(), got.lse.end(), [](double v) { return std::fabs(v + 88.72) < 0.3; }));
  check(s, got, in);
}

TEST(AttentionSm80, SlicesOfOneTensorHaveTheSameBits) {
  for (const AttentionShape& s : {cases::attention(2, 49, 3, 40), cases::attention(1, 17, 1, 256)}) {
    const Inputs in = make(s);
    EXPECT_TRUE(run(s, in, true) == run(s, in, false));
  }
}

TEST(AttentionSm80, AnImageDoesNotDependOnTheOthers) {
  const AttentionShape three = cases::attention(3, 70, 2, 64), one = cases::attention(1, 70, 2, 64);
  const Inputs in = make(three);
  const Results all = run(three, in);
  const auto image = [](const Values& v, int i) {
    const auto count = static_cast<ptrdiff_t>(v.size()) / 3;
    return Values(v.begin() + i * count, v.begin() + (i + 1) * count);
  };
  for (int i : {0, 2}) {
    const Results alone = run(one, {image(in.q, i), image(in.k, i), image(in.v, i), image(in.dout, i)});
    EXPECT_TRUE(
        (alone == Results{image(all.out, i), image(all.lse, i), image(all.dq, i), image(all.dk, i), image(all.dv, i)}));
  }
}

// What cannot be a number must not become one: a key that is NaN, for all rows of its head.
TEST(AttentionSm80, NanStaysNan) {
  const AttentionShape s = cases::attention(1, 70, 1, 32);
  Inputs in = make(s);
  in.k[5 * 32 + 3] = NAN;
  for (const double v : run(s, in).out) ASSERT_TRUE(std::isnan(v));
}

TEST(AttentionSm80, SaysWhatItTakes) {
  const auto takes = [](const AttentionShape& s, DType type = DType::BF16) {
    return attention_sm80_takes(s, type, AttentionLayout::separate(s));
  };
  EXPECT_TRUE(takes(cases::attention(1, 1, 1, 256)));
  EXPECT_FALSE(takes(cases::attention(1, 1, 1, 264)));
  EXPECT_FALSE(takes(cases::attention(1, 1, 1, 20)));
  EXPECT_FALSE(takes(cases::attention(1, 1, 1, 64), DType::F32));
  Stream stream;
  const AttentionShape wide = cases::attention(1, 1, 1, 512);
  DeviceArray<bf16> x(stream, 1024);
  DeviceArray<float> lse(stream, 1);
  EXPECT_THROW(attention_sm80_forward(stream, x.data(), lse, x.data(), x.data(), x.data(), wide,
                                      AttentionLayout::separate(wide)),
               Error);
}

}  // namespace
}  // namespace ito::test
