// SPDX-License-Identifier: Apache-2.0
// Elementwise operations and the sums over rows. u below is kRoundFloat, one fp32 rounding; a result stored in T adds
// one rounding of T.
#include "kernels/nn/pointwise.h"
#include "tests/cases/pointwise.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/pointwise.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

template <class T>
class Pointwise : public ::testing::Test {
 protected:
  Stream stream;
  size_t count = 3001;
  Values a = stored<T>(random_values(count, 1, 2.0));
  Values b = stored<T>(random_values(count, 2));
};
TYPED_TEST_SUITE(Pointwise, StorageTypes);

template <class F>
Values map(const Values& a, const Values& b, F&& f) {
  Values out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = f(a[i], b[i]);
  return out;
}

TYPED_TEST(Pointwise, AddScaledInPlaceAndWithoutB) {
  using T = TypeParam;
  DeviceArray<T> y(this->stream, this->a), b(this->stream, this->b), z(this->stream, this->count);
  add_scaled(this->stream, z.data(), y.data(), {}, 0.7f, static_cast<int64_t>(this->count));
  add_scaled(this->stream, y.data(), y.data(), b.data(), 0.7f, static_cast<int64_t>(this->count));
  const double scale = 0.7f;
  // Two fp32 roundings: of the sum, of the product. (A sum of stored numbers does not cancel below its rounding.)
  expect_close("add", y.values(), map(this->a, this->b, [&](double p, double q) { return scale * (p + q); }),
               3 * u + kRound<T>, 0);
  expect_close("scale", z.values(), map(this->a, this->b, [&](double p, double) { return scale * p; }),
               2 * u + kRound<T>, 0);
}

TYPED_TEST(Pointwise, AccumulateSetsAndAdds) {
  using T = TypeParam;
  const int64_t count = static_cast<int64_t>(this->count);
  DeviceArray<T> y(this->stream, this->count), x(this->stream, this->a), more(this->stream, this->b);
  accumulate(this->stream, y.data(), Write::Set, x.data(), 1.0f, count);
  EXPECT_EQ(y.bits(), x.bits());
  accumulate(this->stream, y.data(), Write::Add, more.data(), -0.5f, count);
  expect_close("accumulate", y.values(), map(this->a, this->b, [](double p, double q) { return p - 0.5 * q; }),
               u + kRound<T>, 0);
}

TYPED_TEST(Pointwise, Affine) {
  using T = TypeParam;
  DeviceArray<T> y(this->stream, this->count), x(this->stream, this->a);
  affine(this->stream, y.data(), x.data(), 2.0f, -1.0f, static_cast<int64_t>(this->count));
  expect_close("affine", y.values(), map(this->a, this->b, [](double p, double) { return 2 * p - 1; }), u + kRound<T>,
               0);
}

// sigmoid: e^-x within 2 units (4u), 1 + e and the quotient one rounding each: 6u; silu one more; silu' a few more,
// absolute, because 1 + x (1 - s) passes zero.
TYPED_TEST(Pointwise, SiluAndItsGradient) {
  using T = TypeParam;
  const int64_t count = static_cast<int64_t>(this->count);
  Values inputs = this->a;
  inputs[0] = -80, inputs[1] = 80, inputs[2] = 0, inputs[3] = -87;  // below, sigmoid stays at 1.3e-38
  inputs = stored<T>(inputs);
  DeviceArray<T> y(this->stream, this->count), x(this->stream, inputs), dy(this->stream, this->b);
  DeviceArray<T> dx(this->stream, this->count), sum(this->stream, this->a);
  silu_forward(this->stream, y.data(), x.data(), count);
  silu_backward(this->stream, dx.data(), Write::Set, dy.data(), x.data(), count);
  silu_backward(this->stream, sum.data(), Write::Add, dy.data(), x.data(), count);
  expect_close("silu", y.values(), map(inputs, inputs, [](double p, double) { return ref::silu(p); }),
               8 * u + kRound<T>, 1e-36);
  const Values want = map(inputs, this->b, [](double p, double d) { return d * ref::silu_derivative(p); });
  const Values size = map(inputs, this->b, [](double p, double d) {
    return std::fabs(d) * ref::sigmoid(p) * (1 + std::fabs(p) * (1 + ref::sigmoid(p)));
  });
  expect_close("silu'", dx.values(), want, kRound<T>, 12 * u, size);
  expect_close("silu' added", sum.values(), map(want, this->a, [](double p, double q) { return p + q; }), u + kRound<T>,
               12 * u, size);
  Values gradient = map(this->a, this->b, [](double p, double d) { return d * ref::silu_derivative(p); });
  expect_gradient(
      "silu reference",
      [&](const Values& v) {
        double f = 0;
        for (size_t i = 0; i < v.size(); ++i) f += this->b[i] * ref::silu(v[i]);
        return f;
      },
      this->a, gradient);
}

TYPED_TEST(Pointwise, ConvertRoundsToNearestEven) {
  using T = TypeParam;
  Values values = random_values(this->count, 5, 3.0);
  values[0] = 1.0 + 0x1p-8, values[1] = 1.0 + 3 * 0x1p-8, values[2] = 1e30, values[3] = -0.0;  // ties, specials
  DeviceArray<float> x(this->stream, values), back(this->stream, this->count);
  DeviceArray<T> y(this->stream, this->count);
  convert(this->stream, y.data(), x.data(), static_cast<int64_t>(this->count));
  EXPECT_EQ(y.values(), stored<T>(stored<float>(values)));
  convert(this->stream, back.data(), y.data(), static_cast<int64_t>(this->count));
  EXPECT_EQ(back.values(), y.values());

  DeviceArray<float> special(this->stream, Values{INFINITY, -INFINITY, NAN});
  DeviceArray<T> stored_special(this->stream, 3);
  convert(this->stream, stored_special.data(), special.data(), 3);
  const Values got = stored_special.values();
  EXPECT_EQ(got[0], INFINITY);
  EXPECT_EQ(got[1], -INFINITY);
  EXPECT_TRUE(std::isnan(got[2]));
}

// Where the operands begin decides how a GPU reads them, not what comes out; nothing behind the count is written.
TYPED_TEST(Pointwise, BitsDoNotDependOnTheAddress) {
  using T = TypeParam;
  for (const int64_t count : {3, 16, 4096, 4096 + 8 + 5}) {
    const auto numbers = static_cast<size_t>(count) + 9;
    const Values y = stored<T>(random_values(numbers, 3)), a = stored<T>(random_values(numbers, 4, 2.0));
    const auto shifted = [](Values values) {
      values.insert(values.begin(), 0.0);
      return values;
    };
    const auto expect_same = [&](const char* what, auto&& run) {
      DeviceArray<T> y0(this->stream, y), y1(this->stream, shifted(y)), a0(this->stream, a);
      DeviceArray<T> a1(this->stream, shifted(a));
      const Values before = y0.values();
      run(y0.data(), a0.data());
      run(y1.data() + 1, a1.data() + 1);
      EXPECT_EQ(y0.bits(), y1.bits().substr(sizeof(T))) << what << ", " << count;
      const Values after = y0.values();
      EXPECT_TRUE(std::equal(after.begin() + count, after.end(), before.begin() + count)) << what << ", " << count;
      EXPECT_NE(after, before) << what << ", " << count;
    };
    Stream& stream = this->stream;
    expect_same("add", [&](T* to, const T* from) { add_scaled(stream, to, to, from, 0.7f, count); });
    expect_same("add nothing", [&](T* to, const T* from) { add_scaled(stream, to, from, {}, 0.7f, count); });
    expect_same("accumulate", [&](T* to, const T* from) { accumulate(stream, to, Write::Add, from, 0.3f, count); });
    expect_same("affine", [&](T* to, const T* from) { affine(stream, to, from, 0.3f, 2.0f, count); });
    expect_same("silu", [&](T* to, const T* from) { silu_forward(stream, to, from, count); });
    expect_same("silu'", [&](T* to, const T* from) { silu_backward(stream, to, Write::Set, to, from, count); });
    expect_same("silu' added", [&](T* to, const T* from) { silu_backward(stream, to, Write::Add, from, from, count); });
    expect_same("convert", [&](T* to, const T* from) { convert(stream, to, from, count); });
    DeviceArray<float> t(stream, Values{0.7});
    expect_same("divide", [&](T* to, const T* from) { divide_rows(stream, to, Write::Add, from, t, 1, count); });
  }
}

TYPED_TEST(Pointwise, Epilogue) {
  using T = TypeParam;
  for (const cases::Rows& s : cases::kRows) {
    const Values x = stored<T>(random_values(s.elements(), 6)), residual = stored<T>(random_values(s.elements(), 7));
    const Values bias = stored<float>(random_values(s.c, 8));
    DeviceArray<T> device_x(this->stream, x), y(this->stream, s.elements()), r(this->stream, residual);
    DeviceArray<float> b(this->stream, bias);
    for (int mask = 0; mask < 4; ++mask) {
      PointwiseEpilogue epilogue;
      epilogue.scale = 0.3f;
      if (mask & 1) epilogue.bias = b;
      if (mask & 2) epilogue.residual = r.data();
      add_epilogue(this->stream, y.data(), device_x.data(), epilogue, s.n, s.hw, s.c);
      Values want(s.elements()), size(s.elements());
      for (size_t i = 0; i < want.size(); ++i) {
        const double terms[] = {x[i], mask & 1 ? bias[i % s.c] : 0, mask & 2 ? residual[i] : 0};
        for (double term : terms) want[i] += 0.3f * term, size[i] += 0.3f * std::fabs(term);
      }
      expect_close(join_text("epilogue ", mask, " C ", s.c), y.values(), want, kRound<T>, 5 * u, size);
      if (mask == 3) {  // in place
        add_epilogue(this->stream, device_x.data(), device_x.data(), epilogue, s.n, s.hw, s.c);
        EXPECT_EQ(device_x.bits(), y.bits());
      }
    }
  }
}

TYPED_TEST(Pointwise, DivideRows) {
  using T = TypeParam;
  for (int64_t row : cases::kImageElements) {
    const int n = 3;
    const Values x = stored<T>(random_values(n * row, 10)), t = {0.01, 1.5, 1348.0};
    const Values times = stored<float>(t);
    DeviceArray<T> y(this->stream, x.size()), device_x(this->stream, x);
    DeviceArray<float> device_t(this->stream, t);
    divide_rows(this->stream, y.data(), Write::Set, device_x.data(), device_t, n, row);
    Values want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = x[i] / times[i / row];
    expect_close("divide", y.values(), want, u + kRound<T>, 0);
    const Values before = y.values();
    divide_rows(this->stream, y.data(), Write::Add, device_x.data(), device_t, n, row);
    Values size = ref::absolute(want);
    for (size_t i = 0; i < x.size(); ++i) want[i] += before[i];
    expect_close("divide added", y.values(), want, u + kRound<T>, 2 * u, size);
  }
}

// A sum of `rows` numbers passes at most 64 + rows / 64 + 8 roundings, each of at most u times the sum of magnitudes.
TYPED_TEST(Pointwise, SumRowsByChunks) {
  using T = TypeParam;
  const int chunk = images_per_chunk();
  std::vector<cases::Rows> shapes = cases::kRows;
  shapes.push_back({6 * chunk + 1, 5, 33});  // of a tree with both kinds of ends
  for (const cases::Rows& s : shapes) {
    const Values dy = stored<T>(random_values(s.elements(), 13));
    DeviceArray<T> device_dy(this->stream, dy);
    DeviceArray<float> dbias(this->stream, s.c), partial(this->stream, ceil_div(s.n, chunk) * s.c);
    const Values sums = ref::sum_groups(dy, int64_t{s.n} * s.hw, int64_t{s.n} * s.hw, s.c);
    const Values sizes = ref::sum_groups(ref::absolute(dy), int64_t{s.n} * s.hw, int64_t{s.n} * s.hw, s.c);
    const double unit = (72 + chunk * s.hw / 64 + ceil_div(s.n, chunk)) * u;
    std::vector<std::vector<float>> chunks;
    for (int n = 0; n < s.n; n += chunk) {
      sum_rows(this->stream, dbias, device_dy.data() + int64_t{n} * s.hw * s.c, partial, std::min(chunk, s.n - n), s.hw,
               s.c);
      chunks.push_back(dbias.raw());
    }
    sum_rows(this->stream, dbias, device_dy.data(), partial, s.n, s.hw, s.c);
    expect_close("sum_rows", dbias.values(), sums, 0, unit, sizes);
    EXPECT_EQ(dbias.raw(), ref::tree_sum(chunks)) << "N " << s.n;
  }
}

TEST(PointwiseErrors, NameTheKernelAndTheTypes) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  DeviceArray<bf16> y(stream, 4);
  EXPECT_THROW(affine(stream, y.data(), x.data(), 1, 0, 4), Error);
  EXPECT_THROW(add_scaled(stream, x.data(), x.data(), {}, 1, -1), Error);
}

}  // namespace
}  // namespace ito::test
