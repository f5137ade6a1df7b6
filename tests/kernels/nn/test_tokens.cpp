// SPDX-License-Identifier: Apache-2.0
// What transformers do to tokens beside norms and products: gated residual sums, rotary embedding, patches, an added
// table. u is one fp32 rounding; a result stored in T adds one rounding of T.
#include "tests/cases/tokens.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

template <class T>
class Tokens : public ::testing::Test {};
TYPED_TEST_SUITE(Tokens, StorageTypes);

TYPED_TEST(Tokens, GatedSumAndItsGradients) {
  using T = TypeParam;
  for_each_case(cases::gate_shapes(), [](Stream& stream, const GateShape& s) {
    const size_t count = size_t(s.n) * s.rows * s.c;
    const Values residual = stored<T>(random_values(count, 1)), y = stored<T>(random_values(count, 2)),
                 dout = stored<T>(random_values(count, 3)), gate = stored<float>(random_values(s.n * s.stride, 4));
    const Values old = stored<float>(random_values(gate.size(), 5));
    Values want(count), size(count), want_dy(count), sums(gate.size(), 0.0), sizes(gate.size(), 0.0);
    for (size_t i = 0; i < count; ++i) {
      const size_t g = i / (size_t(s.rows) * s.c) * s.stride + i % s.c;
      want[i] = residual[i] + gate[g] * y[i], size[i] = std::fabs(residual[i]) + std::fabs(gate[g] * y[i]);
      want_dy[i] = gate[g] * dout[i];
      sums[g] += dout[i] * y[i], sizes[g] += std::fabs(dout[i] * y[i]);
    }
    DeviceArray<T> device_y(stream, y), device_dout(stream, dout), out(stream, residual);
    DeviceArray<float> device_gate(stream, gate);
    gate_forward(stream, out.data(), out.data(), device_y.data(), device_gate, s);  // in place
    expect_close("out", out.values(), want, kRound<T>, u, size);
    expect_set_and_added<T>(stream, "dy", want_dy, kRound<T>, u, absolute(want_dy),
                            [&](DeviceArray<T>& dy, Write write) {
                              gate_backward(stream, dy.data(), write, nullptr, Write::Set, device_dout.data(),
                                            device_y.data(), device_gate, s);
                            });
    for (const Write write : {Write::Set, Write::Add}) {
      DeviceArray<float> dgate(stream, old);
      gate_backward(stream, {}, Write::Set, dgate, write, device_dout.data(), device_y.data(), device_gate, s);
      Values expected = old, magnitude = absolute(old);
      for (size_t g = 0; g < gate.size(); ++g)
        if (int64_t(g) % s.stride < s.c) {
          expected[g] = sums[g] + (write == Write::Add ? old[g] : 0);
          magnitude[g] += sizes[g];
        }
      expect_close("dgate", dgate.values(), expected, 0, (64 + s.rows / 64 + 10) * u, magnitude);
    }
  });
}

TYPED_TEST(Tokens, AGatesGradientDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Stream stream;
  const GateShape three{3, 600, 40, 40};  // more than a run of every team
  const size_t image = size_t(three.rows) * three.c;
  DeviceArray<T> y(stream, stored<T>(random_values(3 * image, 1))),
      dout(stream, stored<T>(random_values(3 * image, 2)));
  DeviceArray<float> all(stream, 3 * 40), one(stream, 40);
  gate_backward(stream, {}, Write::Set, all, Write::Set, dout.data(), y.data(), all, three);
  GateShape single = three;
  single.n = 1;
  gate_backward(stream, {}, Write::Set, one, Write::Set, dout + 2 * image, y + 2 * image, one, single);
  EXPECT_EQ(one.bits(), all.bits().substr(2 * one.bytes()));
}

TYPED_TEST(Tokens, RopeTurnsPairsAndBack) {
  using T = TypeParam;
  for_each_case(cases::rope_shapes(), [](Stream& stream, const RopeShape& s) {
    const int c = s.heads * s.head_dim;
    const size_t count = size_t(s.n) * s.tokens * c;
    const Values x = stored<T>(random_values(count, 1)),
                 angles = random_values(size_t(s.tokens) * s.head_dim / 2, 2, 3);
    Values table;
    for (const double a : angles) table.push_back(std::cos(a)), table.push_back(std::sin(a));
    table = stored<float>(table);
    DeviceArray<T> device_x(stream, x);
    DeviceArray<float> device_table(stream, table);
    for (const bool back : {false, true}) {
      Values want(count), size(count);
      for (size_t i = 0; i < count; i += 2) {
        const size_t at = i / c % s.tokens * s.head_dim + i % c % s.head_dim;
        const double cosine = table[at], sine = back ? -table[at + 1] : table[at + 1];
        want[i] = x[i] * cosine - x[i + 1] * sine, want[i + 1] = x[i + 1] * cosine + x[i] * sine;
        size[i] = std::fabs(x[i] * cosine) + std::fabs(x[i + 1] * sine);
        size[i + 1] = std::fabs(x[i + 1] * cosine) + std::fabs(x[i] * sine);
      }
      expect_set_and_added<T>(stream, "rope", want, kRound<T>, 2 * u, size, [&](DeviceArray<T>& y, Write write) {
        rope(stream, y.data(), write, device_x.data(), device_table, back, s);
      });
    }
  });
}

TYPED_TEST(Tokens, PatchesAreCopiesThereAndBack) {
  using T = TypeParam;
  for_each_case(cases::patch_shapes(), [](Stream& stream, const PatchShape& s) {
    const size_t count = size_t(s.n) * s.h * s.w * s.c;
    const Values image = stored<T>(random_values(count, 1)), old = stored<T>(random_values(count, 2));
    Values tokens(count), sum_image(count), sum_tokens(count);
    for (size_t i = 0; i < count; ++i) {
      const int c = i % s.c, x = i / s.c % s.w, y = i / s.c / s.w % s.h, n = i / s.c / s.w / s.h;
      const size_t token = (size_t(n) * (s.h / s.p) + y / s.p) * (s.w / s.p) + x / s.p;
      const size_t at = ((token * s.p + y % s.p) * s.p + x % s.p) * s.c + c;
      tokens[at] = image[i];
      sum_tokens[at] = old[at] + image[i];
      sum_image[i] = old[i] + image[i];
    }
    DeviceArray<T> device_image(stream, image), device_tokens(stream, count), again(stream, count), added(stream, old);
    patchify(stream, device_tokens.data(), Write::Set, device_image.data(), s);
    EXPECT_EQ(device_tokens.values(), tokens);
    unpatchify(stream, again.data(), Write::Set, device_tokens.data(), s);
    EXPECT_EQ(again.bits(), device_image.bits());
    patchify(stream, added.data(), Write::Add, device_image.data(), s);
    expect_close("added to tokens", added.values(), sum_tokens, kRound<T>, 0);
    added.upload(old);
    unpatchify(stream, added.data(), Write::Add, device_tokens.data(), s);
    expect_close("added to the image", added.values(), sum_image, kRound<T>, 0);
  });
  Stream stream;
  DeviceArray<T> x(stream, Values(12, 1.0));
  EXPECT_THROW(patchify(stream, x.data(), Write::Set, x.data(), {1, 3, 4, 1, 2}), Error);
}

TYPED_TEST(Tokens, ATableForEveryImage) {
  using T = TypeParam;
  for_each_case(cases::placed_tokens(), [](Stream& stream, const cases::Rows& p) {
    const int row = p.hw * p.c;
    const Values x = stored<T>(random_values(size_t(p.n) * row, 1)), table = stored<float>(random_values(row, 2));
    Values want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = x[i] + table[i % row];
    DeviceArray<T> y(stream, x);
    DeviceArray<float> device_table(stream, table);
    add_table(stream, y.data(), y.data(), device_table, p.n, row);
    expect_close("sum", y.values(), want, kRound<T> + u, 0);
  });
}

TYPED_TEST(Tokens, OfAContextInFront) {
  using T = TypeParam;
  for_each_case(cases::context_shapes(), [](Stream& stream, const ContextShape& s) {
    const int all = s.before + s.tokens;
    const size_t count = size_t(s.n) * all * s.c;
    const auto numbers = [&](size_t tokens, uint64_t seed) {
      return stored<T>(random_values(s.n * tokens * s.c, seed));
    };
    const Values x = numbers(s.tokens, 1), dy = numbers(all, 2);
    const Values row = stored<float>(random_values(size_t(s.n) * s.c, 4)),
                 table = stored<float>(random_values(size_t(s.before) * s.c, 5));
    Values want, front, behind, drow(row.size(), 0.0), size(row.size(), 0.0), kept;
    for (size_t i = 0; i < count; ++i) {
      const size_t n = i / s.c / all, token = i / s.c % all, j = i % s.c;
      const bool own = token >= size_t(s.before);
      want.push_back(own ? x[(n * s.tokens + token - s.before) * s.c + j] : row[n * s.c + j] + table[token * s.c + j]);
      (own ? behind : front).push_back(dy[i]);
      kept.push_back(own ? dy[i] : 0);
      if (!own) drow[n * s.c + j] += dy[i], size[n * s.c + j] += std::fabs(dy[i]);
    }
    DeviceArray<T> device_x(stream, x), y(stream, count), device_dy(stream, dy), taken(stream, front.size());
    DeviceArray<float> device_row(stream, row), device_table(stream, table);
    add_context(stream, y.data(), device_x.data(), device_row, device_table, s);
    expect_close("y", y.values(), want, kRound<T> + u, 0);
    take_tokens(stream, taken.data(), Write::Set, device_dy.data(), true, s);
    EXPECT_EQ(taken.values(), front);
    expect_set_and_added<float>(
        stream, "drow", drow, 0, (64 + s.before / 64 + 8) * u, size,
        [&](DeviceArray<float>& to, Write write) { add_context_backward(stream, to, write, device_dy.data(), s); });
    expect_set_and_added<T>(
        stream, "taken", behind, kRound<T>, 0, absolute(behind),
        [&](DeviceArray<T>& to, Write write) { take_tokens(stream, to.data(), write, device_dy.data(), false, s); });
    DeviceArray<T> device_behind(stream, behind);
    expect_set_and_added<T>(stream, "kept", kept, kRound<T>, 0, absolute(kept), [&](DeviceArray<T>& to, Write write) {
      drop_context_backward(stream, to.data(), write, device_behind.data(), s);
    });
  });
}

}  // namespace
}  // namespace ito::test
