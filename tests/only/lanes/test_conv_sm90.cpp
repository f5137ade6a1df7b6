// SPDX-License-Identifier: Apache-2.0
// The Hopper convolution against fp64 loops on rounded operands: padding, strides, ragged sizes, two tensors, a
// shortcut, what the epilogue adds; and that an image's bits are its own.
#include "kernels/nn/conv_sm90.h"

#include "tests/kernels/op_test.h"
#include "tests/ref/conv.h"

namespace ito::test {
namespace {

struct Case {
  ConvSm80Shape shape;
  int n;
  bool bias, temb, residual;
};

ConvSm80Shape shape_of(ConvShape conv, int first_c = 0, int shortcut_c = 0, int shortcut_first_c = 0) {
  ConvSm80Shape shape;
  shape.conv = conv;
  shape.first_c = first_c;
  shape.shortcut_c = shortcut_c;
  shape.shortcut_first_c = shortcut_first_c;
  return shape;
}

// Images of a tile: two, four, one of several tiles, eight. Steps: 18, so that the ring of stages turns, 9, 21, 1.
// Tiles of 128 rows and 128, 64 and 192 columns, and of 256 rows.
const Case kCases[] = {
    {shape_of({.h = 8, .w = 8, .c = 72, .k = 136}), 3, true, true, true},
    {shape_of({.h = 9, .w = 11, .c = 40, .k = 64, .stride = 2, .pad_top = 0, .pad_left = 0}), 2, true, false, false},
    {shape_of({.h = 5, .w = 20, .c = 72, .k = 72}, 24, 80, 72), 2, false, true, false},
    {shape_of({.h = 4,
               .w = 4,
               .c = 8,
               .k = 8,
               .r = 1,
               .s = 1,
               .pad_top = 0,
               .pad_left = 0,
               .pad_bottom = 0,
               .pad_right = 0}),
     5, false, false, true},
    {shape_of({.h = 7, .w = 18, .c = 64, .k = 24, .stride = 2, .pad_top = 2, .pad_bottom = 0}), 1, true, true, true},
    {shape_of({.h = 6, .w = 6, .c = 16, .k = 192}), 1, false, false, true},
    {shape_of({.h = 16, .w = 17, .c = 16, .k = 72}), 1, true, true, true},
};

// Channels first, first + 1, ... first + count of rows of c.
Values channels(const Values& x, int c, int first, int count) {
  Values part;
  for (size_t row = 0; row < x.size() / c; ++row)
    part.insert(part.end(), x.begin() + row * c + first, x.begin() + row * c + first + count);
  return part;
}

struct Tensors {
  Values x, w, shortcut, v, bias, temb, residual;
};

Tensors tensors_of(const Case& t) {
  const ConvShape& c = t.shape.conv;
  const size_t pixels = size_t(t.n) * c.out_h() * c.out_w();
  Tensors a;
  a.x = stored<bf16>(random_values(size_t(t.n) * c.h * c.w * c.c, 1));
  a.w = stored<bf16>(random_values(c.weights(), 2));
  a.shortcut = stored<bf16>(random_values(pixels * t.shape.shortcut_c, 3));
  a.v = stored<bf16>(random_values(size_t(c.k) * t.shape.shortcut_c, 4));
  if (t.bias) a.bias = stored<float>(random_values(c.k, 5));
  if (t.temb) a.temb = stored<float>(random_values(size_t(t.n) * (c.k + 3), 6));
  if (t.residual) a.residual = stored<bf16>(random_values(pixels * c.k, 7));
  return a;
}

// scale (sum + bias + temb + residual), and with absolute values the size of what was added.
Values reference(const Case& t, const Tensors& a) {
  const ConvShape& c = t.shape.conv;
  ref::ConvEpilogueValues e;
  e.bias = a.bias;
  e.residual = a.residual;
  Values y = ref::conv_forward(a.x, a.w, e, c, t.n);
  const int cs = t.shape.shortcut_c;
  for (size_t o = 0; o < y.size(); ++o) {
    const size_t pixel = o / c.k, k = o % c.k, image = pixel / (size_t(c.out_h()) * c.out_w());
    for (int i = 0; i < cs; ++i) y[o] += a.shortcut[pixel * cs + i] * a.v[k * cs + i];
    if (t.temb) y[o] += a.temb[image * (c.k + 3) + k];
    y[o] *= 0.75;
  }
  return y;
}

std::vector<bf16> run(Stream& stream, const Case& t, const Tensors& a, int blocks = kConvSm90Blocks) {
  const ConvShape& c = t.shape.conv;
  const int first = t.shape.first_c ? t.shape.first_c : c.c, cs = t.shape.shortcut_c;
  const int first_s = t.shape.shortcut_first_c ? t.shape.shortcut_first_c : cs;
  Values packed;
  for (int k = 0; k < c.k; ++k) {
    const size_t row = size_t(c.r) * c.s * c.c;
    packed.insert(packed.end(), a.w.begin() + k * row, a.w.begin() + (k + 1) * row);
    packed.insert(packed.end(), a.v.begin() + k * cs, a.v.begin() + (k + 1) * cs);
  }
  const auto array = [&](const Values& v) {
    return std::make_unique<DeviceArray<bf16>>(stream, v.empty() ? Values(8) : v);
  };
  const auto x = array(channels(a.x, c.c, 0, first)), x1 = array(channels(a.x, c.c, first, c.c - first));
  const auto shortcut = array(cs ? channels(a.shortcut, cs, 0, first_s) : Values{});
  const auto shortcut1 = array(cs ? channels(a.shortcut, cs, first_s, cs - first_s) : Values{});
  const auto filters = array(packed), residual = array(a.residual);
  DeviceArray<float> bias(stream, t.bias ? a.bias : Values(1)), temb(stream, t.temb ? a.temb : Values(1));
  DeviceArray<bf16> y(stream, size_t(t.n) * c.out_h() * c.out_w() * c.k);
  ConvSm80Epilogue epilogue;
  epilogue.bias = t.bias ? bias.data() : nullptr;
  epilogue.temb = t.temb ? temb.data() : nullptr;
  epilogue.temb_stride = c.k + 3;
  epilogue.residual = t.residual ? residual->data() : nullptr;
  epilogue.scale = 0.75f;
  conv_sm90_forward(stream, y, {x->data(), x1->data(), shortcut->data(), shortcut1->data()}, filters->data(), epilogue,
                    t.shape, t.n, blocks);
  return y.raw();
}

// Products of bf16 are exact; a sum of n terms in fp32 errs by about 4 sqrt(n) half units of the sum of absolute
// values, twice that where a tensor core truncates; then three additions, a product and one rounding to bf16.
TEST(ConvSm90, MatchesLoops) {
  if (!conv_sm90_runs()) GTEST_SKIP() << "not a Hopper GPU";
  for_each_case(kCases, [&](Stream& stream, const Case& t) {
    const Tensors a = tensors_of(t);
    Tensors size = a;
    for (Values* v : {&size.x, &size.w, &size.shortcut, &size.v, &size.bias, &size.temb, &size.residual})
      *v = absolute(*v);
    const double terms = double(t.shape.conv.r) * t.shape.conv.s * t.shape.conv.c + t.shape.shortcut_c;
    Values got;
    for (const bf16 v : run(stream, t, a)) got.push_back(widen(v));
    expect_close("y", got, reference(t, a), kRound<bf16>, (8 * std::sqrt(terms) + 4) * kRoundFloat, reference(t, size));
  });
}

TEST(ConvSm90, AnImagesBitsAreItsOwn) {
  if (!conv_sm90_runs()) GTEST_SKIP() << "not a Hopper GPU";
  for_each_case(kCases, [&](Stream& stream, const Case& t) {
    const Tensors a = tensors_of(t);
    const std::vector<bf16> together = run(stream, t, a);
    const size_t image = together.size() / t.n;
    const auto own = [&](const Values& v, int i) {
      const size_t part = v.size() / t.n;
      return Values(v.begin() + i * part, v.begin() + (i + 1) * part);
    };
    for (int i = 0; i < t.n; ++i) {
      Case alone = t;
      alone.n = 1;
      Tensors b = a;
      b.x = own(a.x, i);
      b.shortcut = own(a.shortcut, i);
      b.temb = own(a.temb, i);
      b.residual = own(a.residual, i);
      const std::vector<bf16> y = run(stream, alone, b);
      ASSERT_EQ(std::memcmp(y.data(), &together[i * image], image * sizeof(bf16)), 0) << "image " << i;
    }
  });
}

// One block takes every tile, or two share them. The gradient is added, so that each tile's place is read as well.
TEST(ConvSm90, NoBitDependsOnTheGrid) {
  if (!conv_sm90_runs()) GTEST_SKIP() << "not a Hopper GPU";
  for_each_case(kCases, [&](Stream& stream, const Case& t) {
    const Tensors a = tensors_of(t);
    const Values dy =
        stored<bf16>(random_values(size_t(t.n) * t.shape.conv.out_h() * t.shape.conv.out_w() * t.shape.conv.k, 8));
    DeviceArray<bf16> filters(stream, a.w), dev_dy(stream, dy);
    const auto gradient = [&](int blocks) {
      if (conv_sm90_data_refusal(t.shape) || t.shape.shortcut_c) return std::vector<bf16>();
      DeviceArray<bf16> dx(stream, a.x);
      conv_sm90_backward_data(stream, dx, Write::Add, dev_dy, filters, t.shape, t.n, blocks);
      return dx.raw();
    };
    const std::vector<bf16> wide = run(stream, t, a), wide_dx = gradient(kConvSm90Blocks);
    for (const int blocks : {1, 2}) {
      const std::vector<bf16> y = run(stream, t, a, blocks), dx = gradient(blocks);
      ASSERT_EQ(std::memcmp(y.data(), wide.data(), y.size() * sizeof(bf16)), 0) << blocks << " blocks";
      ASSERT_EQ(dx.size(), wide_dx.size());
      ASSERT_TRUE(dx.empty() || !std::memcmp(dx.data(), wide_dx.data(), dx.size() * sizeof(bf16)))
          << "dx, " << blocks << " blocks";
    }
  });
}

// Set, and added to what is there: one more term.
TEST(ConvSm90, DataGradientMatchesLoops) {
  if (!conv_sm90_runs()) GTEST_SKIP() << "not a Hopper GPU";
  for_each_case(kCases, [&](Stream& stream, const Case& t) {
    if (conv_sm90_data_refusal(t.shape)) return;
    const ConvShape& c = t.shape.conv;
    const Values w = stored<bf16>(random_values(c.weights(), 2));
    const Values dy = stored<bf16>(random_values(size_t(t.n) * c.out_h() * c.out_w() * c.k, 8));
    DeviceArray<bf16> filters(stream, w), dev_dy(stream, dy);
    const double terms = double(c.r) * c.s * c.k;
    expect_set_and_added<bf16>(
        stream, "dx", ref::conv_backward_data(dy, w, c, t.n), kRound<bf16>, (8 * std::sqrt(terms) + 4) * kRoundFloat,
        ref::conv_backward_data(absolute(dy), absolute(w), c, t.n), [&](DeviceArray<bf16>& dx, Write write) {
          conv_sm90_backward_data(stream, dx, write, dev_dy, filters, t.shape, t.n);
        });
  });
}

TEST(ConvSm90, RefusesWhatItCannotDo) {
  EXPECT_EQ(conv_sm90_refusal(kCases[0].shape), nullptr);
  EXPECT_NE(conv_sm90_refusal(shape_of({.h = 8, .w = 8, .c = 3, .k = 64})), nullptr);
  EXPECT_NE(conv_sm90_refusal(shape_of({.h = 8, .w = 8, .c = 64, .k = 64, .stride = 3})), nullptr);
  ConvSm80Shape upsampled = kCases[0].shape;
  upsampled.upsampled = true;
  EXPECT_NE(conv_sm90_refusal(upsampled), nullptr);
}

}  // namespace
}  // namespace ito::test
