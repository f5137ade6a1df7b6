// SPDX-License-Identifier: Apache-2.0
// The portable convolution and its gradients against fp64 loops; the loops against finite differences.
#include "kernels/nn/conv.h"

#include "tests/cases/conv.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/conv.h"

namespace ito::test {
namespace {

// A sum of n fp32 terms in order errs by about sqrt(n) half units of the sum of absolute values, with a safety factor
// of 4 (Higham and Mary 2019); n half units is the most there can be.
double sum_units(double terms) {
  return std::min(terms, 4 * std::sqrt(terms)) + 4;
}

template <class T>
class Conv : public ::testing::Test {};
TYPED_TEST_SUITE(Conv, StorageTypes);

TYPED_TEST(Conv, MatchesLoops) {
  using T = TypeParam;
  int index = 0;
  for_each_case(cases::conv_cases(), [&](Stream& stream, const cases::ConvCase& c) {
    const ConvShape& s = c.shape;
    const std::string what = join_text("conv ", s.h, "x", s.w, "x", s.c, "->", s.k, " ", s.r, "x", s.s, " stride ",
                                       s.stride, " n=", c.n, " ", name_of(dtype_of<T>));
    const size_t in = size_t(c.n) * s.h * s.w * s.c, out = size_t(c.n) * s.out_h() * s.out_w() * s.k;
    const Values x = stored<T>(random_values(in, 1)), w = stored<T>(random_values(s.weights(), 2));
    const Values dy = stored<T>(random_values(out, 3));
    DeviceArray<T> dev_x(stream, x), dev_w(stream, w), dev_dy(stream, dy), y(stream, out);

    // Cases take turns with parts of the epilogue.
    ref::ConvEpilogueValues e, e_size;
    const int parts = index++ % 4;
    if (parts & 1) e.bias = stored<float>(random_values(s.k, 4));
    if (parts >= 2) e.residual = stored<T>(random_values(out, 6));
    e.scale = parts == 3 ? static_cast<double>(0.7f) : 1.0;
    e_size = {absolute(e.bias), absolute(e.residual), e.scale};
    DeviceArray<float> bias(stream, parts & 1 ? e.bias : Values(1));
    DeviceArray<T> residual(stream, parts >= 2 ? e.residual : Values(1));
    ConvEpilogue epilogue;
    if (parts & 1) epilogue.bias = bias;
    if (parts >= 2) epilogue.residual = residual.data();
    epilogue.scale = static_cast<float>(e.scale);
    conv_forward(stream, y.data(), dev_x.data(), dev_w.data(), epilogue, s, c.n);
    const double reach = s.r * s.s;
    expect_close(what + " y", y.values(), ref::conv_forward(x, w, e, s, c.n), kRound<T>,
                 sum_units(reach * ceil_div(s.c, 16) + 8) * kRoundFloat,
                 ref::conv_forward(absolute(x), absolute(w), e_size, s, c.n));

    expect_set_and_added<T>(
        stream, what + " dx", ref::conv_backward_data(dy, w, s, c.n), kRound<T>, sum_units(reach * s.k) * kRoundFloat,
        ref::conv_backward_data(absolute(dy), absolute(w), s, c.n), [&](DeviceArray<T>& dx, Write write) {
          conv_backward_data(stream, dx.data(), write, dev_dy.data(), dev_w.data(), s, c.n);
        });

    const int images = images_per_chunk();
    DeviceArray<float> partial(stream, ceil_div(c.n, images) * s.weights());
    conv_backward_weight(stream, partial, dev_dy.data(), dev_x.data(), s, c.n);
    expect_close(what + " dw", partial.values(), ref::conv_backward_weight(dy, x, s, c.n, images), kRoundFloat,
                 sum_units(double(images) * s.out_h() * s.out_w()) * kRoundFloat,
                 ref::conv_backward_weight(absolute(dy), absolute(x), s, c.n, images));
  });
}

TYPED_TEST(Conv, AnImageDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Stream stream;
  const ConvShape s{6, 5, 19, 7, 3, 3, 2, 0, 0, 1, 1};
  const size_t in = size_t(s.h) * s.w * s.c, out = size_t(s.out_h()) * s.out_w() * s.k;
  DeviceArray<T> x(stream, random_values(3 * in, 1)), w(stream, random_values(s.weights(), 2)),
      dy(stream, random_values(3 * out, 3));
  DeviceArray<T> y3(stream, 3 * out), y1(stream, out), dx3(stream, 3 * in), dx1(stream, in);
  conv_forward(stream, y3.data(), x.data(), w.data(), {}, s, 3);
  conv_backward_data(stream, dx3.data(), Write::Set, dy.data(), w.data(), s, 3);
  for (int i : {0, 2}) {
    conv_forward(stream, y1.data(), x + i * in, w.data(), {}, s, 1);
    conv_backward_data(stream, dx1.data(), Write::Set, dy + i * out, w.data(), s, 1);
    EXPECT_EQ(y1.bits(), y3.bits().substr(i * y1.bytes(), y1.bytes()));
    EXPECT_EQ(dx1.bits(), dx3.bits().substr(i * dx1.bytes(), dx1.bytes()));
  }
}

TEST(ConvReference, MatchesFiniteDifferences) {
  const ConvShape s{5, 6, 2, 3, 3, 2, 2, 1, 0, 0, 1};
  const int n = 2;
  const Values x = random_values(size_t(n) * 60, 1), w = random_values(s.weights(), 2);
  const Values dy = random_values(size_t(n) * s.out_h() * s.out_w() * s.k, 3);
  expect_gradient(
      "x", [&](const Values& v) { return dot(dy, ref::conv_forward(v, w, {}, s, n)); }, x,
      ref::conv_backward_data(dy, w, s, n));
  expect_gradient(
      "w", [&](const Values& v) { return dot(dy, ref::conv_forward(x, v, {}, s, n)); }, w,
      ref::conv_backward_weight(dy, x, s, n, n));
}

TEST(ConvChecks, RefusesAFilterLargerThanTheInput) {
  Stream stream;
  DeviceArray<float> x(stream, 64);
  const ConvShape s{2, 2, 1, 1, 3, 3, 1, 0, 0, 0, 0};
  EXPECT_THROW(conv_forward(stream, x.data(), x.data(), x.data(), {}, s, 1), Error);
}

}  // namespace
}  // namespace ito::test
