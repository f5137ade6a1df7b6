// SPDX-License-Identifier: Apache-2.0
// The convolution on tensor cores and its gradients against fp64 loops: all tiles, strides, paddings, ragged channels,
// epilogues and inputs; the same bits of an image at any place.
#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_tiles.cuh"
#include "tests/kernels/nn/conv_sm80_run.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/conv.h"

namespace ito::test {
namespace {

struct Case {
  ConvSm80Shape shape;
  int n;
};

// {h, w, c, k, r, s, stride, pad top, left, bottom, right}, first_c, upsampled, shortcut_c, shortcut_first_c.
std::vector<Case> conv_sm80_cases() {
  return {
      {{{6, 7, 24, 40, 3, 3, 1, 1, 1, 1, 1}}, 4},     // several images in a tile
      {{{9, 9, 32, 200, 3, 3, 1, 1, 1, 1, 1}}, 2},    // wide tiles forward, and a ragged second
      {{{10, 9, 104, 24, 3, 3, 1, 1, 1, 1, 1}}, 2},   // wide tiles backward
      {{{6, 8, 184, 136, 1, 1, 1, 0, 0, 0, 0}}, 3},   // tiles of 96 channels all ways, and ragged seconds
      {{{9, 11, 16, 24, 3, 3, 2, 1, 1, 1, 1}}, 3},    // stride 2, odd sizes
      {{{8, 8, 72, 16, 3, 3, 2, 0, 0, 1, 1}}, 3},     // stride 2, padded below and right
      {{{8, 9, 40, 72, 1, 1, 1, 0, 0, 0, 0}}, 5},     // 1x1
      {{{7, 8, 16, 24, 1, 1, 2, 0, 0, 0, 0}}, 2},     // pixels that no output reads
      {{{7, 6, 16, 8, 2, 3, 3, 1, 2, 0, 1}}, 6},      // stride 3
      {{{10, 9, 1, 72, 3, 3, 1, 1, 1, 1, 1}}, 2},     // stems
      {{{8, 8, 3, 24, 3, 3, 1, 1, 1, 1, 1}}, 3},      //
      {{{8, 8, 8, 24, 3, 3, 1, 1, 1, 1, 1}}, 2},      //
      {{{9, 9, 40, 3, 3, 3, 1, 1, 1, 1, 1}}, 2},      // last layers
      {{{5, 5, 24, 6, 3, 3, 1, 1, 1, 1, 1}}, 2},      //
      {{{5, 7, 20, 12, 3, 3, 1, 1, 1, 1, 1}}, 3},     // ragged all round
      {{{32, 32, 8, 16, 1, 1, 1, 0, 0, 0, 0}}, 5},    // parts of a chunk
      {{{6, 6, 24, 72, 3, 3, 1, 1, 1, 1, 1}, 8}, 2},  // two tensors
      {{{8, 6, 16, 24, 3, 3, 1, 1, 1, 1, 1}, 0, true}, 3},
      {{{6, 8, 24, 40, 3, 3, 1, 1, 1, 1, 1}, 16, true}, 2},
      {{{6, 6, 16, 72, 3, 3, 1, 1, 1, 1, 1}, 0, false, 24}, 2},
      {{{9, 8, 24, 136, 3, 3, 1, 1, 1, 1, 1}, 16, false, 40, 8}, 2},
  };
}

// bf16 products are exact in fp32. A sum of t terms in order errs by about sqrt(t) units of the sum of absolute values,
// with a safety factor of 4 (Higham and Mary 2019), t units at most; a tensor core may cut where fp32 rounds, so that a
// unit is a whole one. The rest is the one rounding to bf16.
double sum_unit(double terms) {
  return (std::min(terms, 4 * std::sqrt(terms)) + 8) * 2 * kRoundFloat;
}

// The epilogue's and the shortcut's parts as the loops take them: all that is added to the convolution of x.
Values added(const ConvSm80Shape& s, const ConvSm80Tensors& t, const Values& v, int n, int parts) {
  const ConvShape& c = s.conv;
  const int pixels = c.out_h() * c.out_w();
  Values sum(t.dy.size(), 0.0);
  if (s.shortcut_c) {
    const ConvShape one{c.out_h(), c.out_w(), s.shortcut_c, c.k, 1, 1, 1, 0, 0, 0, 0};
    sum = ref::conv_forward(t.shortcut, v, {}, one, n);
  }
  for (size_t i = 0; i < sum.size(); ++i) {
    if (parts & 1) sum[i] += t.bias[i % c.k];
    if (parts & 2) sum[i] += t.temb[i / c.k / pixels * c.k + i % c.k];
    if (parts & 4) sum[i] += t.residual[i];
  }
  return sum;
}

TEST(ConvSm80, ForwardMatchesLoops) {
  int number = 0;
  for_each_case(conv_sm80_cases(), [&](Stream& stream, const Case& one) {
    const ConvShape& c = one.shape.conv;
    const ConvSm80Tensors t(one.shape, one.n);
    ConvSm80Tensors size = t;
    for (Values* values : {&size.x, &size.bias, &size.temb, &size.residual, &size.shortcut})
      *values = absolute(*values);
    const Values w = stored<bf16>(t.w), v = stored<bf16>(t.v);
    ConvSm80Layer layer(stream, one.shape, one.n, t);
    const int parts = number++ * 7 % 16;  // cases take turns with parts of the epilogue
    ref::ConvEpilogueValues e{{}, added(one.shape, t, v, one.n, parts), parts & 8 ? double(0.7f) : 1.0};
    ref::ConvEpilogueValues e_size{{}, added(one.shape, size, absolute(v), one.n, parts), e.scale};
    expect_close("y", layer.forward(parts).values(), ref::conv_forward(t.x, w, e, c, one.n), kRound<bf16>,
                 sum_unit(c.r * c.s * c.c + one.shape.shortcut_c),
                 ref::conv_forward(size.x, absolute(w), e_size, c, one.n));
  });
}

// Set and added, into one tensor or two.
void expect_data_gradient(Stream& stream, const Values& want, const Values& size, double unit, int c, int first_c,
                          const std::function<void(const ConvSm80DataGradient&)>& run) {
  if (!first_c) first_c = c;
  const size_t pixels = want.size() / c;
  for (const Write write : {Write::Set, Write::Add}) {
    const Values old = stored<bf16>(random_values(want.size(), 9));
    DeviceArray<bf16> dx(stream, channels(old, c, 0, first_c)), dx1(stream, pixels * (c - first_c) + 1);
    if (first_c < c)
      dx1.upload([&] {
        Values part = channels(old, c, first_c, c);
        part.push_back(0);
        return part;
      }());
    run({dx, write, first_c < c ? dx1.data() : nullptr, write});
    Values got;
    const Values a = dx.values(), b = dx1.values();
    for (size_t p = 0; p < pixels; ++p) {
      got.insert(got.end(), a.begin() + p * first_c, a.begin() + (p + 1) * first_c);
      got.insert(got.end(), b.begin() + p * (c - first_c), b.begin() + (p + 1) * (c - first_c));
    }
    const bool add = write == Write::Add;
    expect_close(add ? "dx added" : "dx", got, add ? plus(want, old) : want, kRound<bf16>, unit,
                 add ? plus(size, absolute(old)) : size);
  }
}

TEST(ConvSm80, DataGradientMatchesLoops) {
  for_each_case(conv_sm80_cases(), [&](Stream& stream, const Case& one) {
    const ConvShape& c = one.shape.conv;
    const ConvSm80Tensors t(one.shape, one.n);
    const Values w = stored<bf16>(t.w), v = stored<bf16>(t.v);
    ConvSm80Layer layer(stream, one.shape, one.n, t);
    expect_data_gradient(stream, ref::conv_backward_data(t.dy, w, c, one.n),
                         ref::conv_backward_data(absolute(t.dy), absolute(w), c, one.n), sum_unit(c.r * c.s * c.k), c.c,
                         one.shape.first_c, [&](const auto& gradient) { layer.backward_data(gradient); });
    if (!one.shape.shortcut_c) return;
    const ConvShape cut{c.out_h(), c.out_w(), one.shape.shortcut_c, c.k, 1, 1, 1, 0, 0, 0, 0};
    expect_data_gradient(stream, ref::conv_backward_data(t.dy, v, cut, one.n),
                         ref::conv_backward_data(absolute(t.dy), absolute(v), cut, one.n), sum_unit(c.k),
                         one.shape.shortcut_c, one.shape.shortcut_first_c,
                         [&](const auto& gradient) { layer.backward_shortcut(gradient); });
  });
}

TEST(ConvSm80, WeightGradientMatchesLoops) {
  for_each_case(conv_sm80_cases(), [&](Stream& stream, const Case& one) {
    const ConvShape& c = one.shape.conv;
    const ConvSm80Tensors t(one.shape, one.n);
    ConvSm80Layer layer(stream, one.shape, one.n, t);
    const size_t cut_weights = size_t(c.k) * one.shape.shortcut_c;
    DeviceArray<float> dw(stream, c.weights()), dv(stream, cut_weights + 1), db(stream, c.k);
    layer.backward_weight({dw, dv, db});
    const double terms = double(one.n) * c.out_h() * c.out_w();
    expect_close("dw", dw.values(), ref::conv_backward_weight(t.dy, t.x, c, one.n, one.n), 0, sum_unit(terms),
                 ref::conv_backward_weight(absolute(t.dy), absolute(t.x), c, one.n, one.n));
    // The bias's is the gradient of a 1x1 filter on an input of ones.
    const ConvShape ones{c.out_h(), c.out_w(), 1, c.k, 1, 1, 1, 0, 0, 0, 0};
    const Values x(t.dy.size() / c.k, 1.0);
    expect_close("db", db.values(), ref::conv_backward_weight(t.dy, x, ones, one.n, one.n), 0, sum_unit(terms),
                 ref::conv_backward_weight(absolute(t.dy), x, ones, one.n, one.n));
    if (!cut_weights) return;
    ConvShape cut = ones;
    cut.c = one.shape.shortcut_c;
    Values got = dv.values();
    got.pop_back();
    expect_close("dv", got, ref::conv_backward_weight(t.dy, t.shortcut, cut, one.n, one.n), 0, sum_unit(terms),
                 ref::conv_backward_weight(absolute(t.dy), absolute(t.shortcut), cut, one.n, one.n));
  });
}

// Around multiples of the divisor, which is where a quotient by multiplication would err, up to the largest number.
DEVICE void divide_body(int64_t i, int* wrong, FastDivide by, int divisor) {
  const int64_t most = 2147483647, near = i < 3000 ? i * divisor / 3 : most - (i - 3000);
  if (near <= most && by(static_cast<int>(near)) != static_cast<int>(near / divisor)) atomic_add(wrong, 1);
}

TEST(ConvSm80, QuotientsByMultiplicationAreExact) {
  Stream stream;
  DeviceArray<int> wrong(stream, Values(1));
  for (int d = 1; d < 1000000000; d = d < 100 ? d + 1 : d / 7 * 10 + 1)
    for_each<divide_body>("divide", 6000, stream, wrong.data(), FastDivide(d), d);
  EXPECT_EQ(wrong.raw()[0], 0);
}

// The bits of row `row` of `rows` equal ones.
template <class T>
std::string part_of(const DeviceArray<T>& a, int row, int rows) {
  return a.bits().substr(a.bytes() / rows * row, a.bytes() / rows);
}

TEST(ConvSm80, AnImageDoesNotDependOnTheOthers) {
  const std::vector<Case> cases = {{{{5, 5, 16, 72, 3, 3, 1, 1, 1, 1, 1}, 8, false, 24}, 6},
                                   {{{9, 9, 72, 136, 3, 3, 2, 0, 0, 1, 1}}, 5},
                                   {{{9, 10, 72, 136, 3, 3, 1, 1, 1, 1, 1}}, 3},
                                   {{{9, 9, 3, 3, 3, 3, 1, 1, 1, 1, 1}}, 3}};
  for_each_case(cases, [&](Stream& stream, const Case& one) {
    const ConvShape& c = one.shape.conv;
    const ConvSm80Tensors t(one.shape, one.n);
    const size_t in = size_t(c.h) * c.w * c.c;
    DeviceArray<bf16> dx(stream, one.n * in), alone_dx(stream, in);
    ConvSm80Layer layer(stream, one.shape, one.n, t);
    const DeviceArray<bf16>& y = layer.forward(15);
    const bool two = one.shape.first_c != 0;
    if (!two) layer.backward_data({dx});
    for (const int i : {1, one.n - 1}) {
      ConvSm80Layer alone(stream, one.shape, 1, t.image(i, one.n));
      EXPECT_TRUE(alone.forward(15).bits() == part_of(y, i, one.n)) << "image " << i;
      if (two) continue;
      alone.backward_data({alone_dx});
      EXPECT_TRUE(alone_dx.bits() == part_of(dx, i, one.n)) << "gradient of image " << i;
    }
  });
}

// The sum over two chunks is the two sums: passes of whole chunks may share a batch.
TEST(ConvSm80, ChunksAreSubtrees) {
  const int chunk = images_per_chunk(), n = 2 * chunk - 1;
  const ConvSm80Shape shape{{24, 23, 8, 16, 3, 3, 1, 1, 1, 1, 1}, 0, false, 8};
  Stream stream;
  const ConvSm80Tensors t(shape, n);
  ConvSm80Layer layer(stream, shape, n, t);
  const size_t weights = shape.conv.weights(), cut = 16 * 8;
  std::vector<std::unique_ptr<DeviceArray<float>>> sums;
  for (const auto& [first, images] : std::vector<std::pair<int, int>>{{0, n}, {0, chunk}, {chunk, n - chunk}}) {
    for (const size_t size : {weights, cut, size_t{16}})
      sums.push_back(std::make_unique<DeviceArray<float>>(stream, size));
    layer.backward_weight({*sums.end()[-3], *sums.end()[-2], *sums.end()[-1]}, first, images);
  }
  for (int i = 0; i < 3; ++i) {
    std::vector<float> want = sums[3 + i]->raw();
    const std::vector<float> more = sums[6 + i]->raw();
    for (size_t j = 0; j < want.size(); ++j) want[j] += more[j];
    EXPECT_TRUE(sums[i]->raw() == want) << "gradient " << i;
  }
}

// About a mean far from zero. A strip's mean errs by its 16 sums, each joining by a few roundings; the squares by those
// of their terms, and by the error of a distance times the distance.
TEST(ConvSm80, MomentsAreOfTheRoundedValues) {
  const std::vector<Case> cases = {{{{16, 8, 8, 24, 1, 1, 1, 0, 0, 0, 0}}, 2},
                                   {{{4, 4, 8, 72, 3, 3, 1, 1, 1, 1, 1}}, 5},
                                   {{{8, 32, 8, 72, 1, 1, 1, 0, 0, 0, 0}}, 2}};
  for_each_case(cases, [&](Stream& stream, const Case& one) {
    const ConvShape& c = one.shape.conv;
    ConvSm80Tensors t(one.shape, one.n);
    for (double& b : t.bias) b += 50;
    const int rows = conv_sm80_moment_rows(one.shape), run = c.out_h() * c.out_w() / rows;
    const size_t count = size_t(rows) * c.k * 2;
    DeviceArray<float> moments(stream, one.n * count), alone_moments(stream, count);
    ConvSm80Layer layer(stream, one.shape, one.n, t);
    const Values y = layer.forward(5, moments).values();
    Values want, bound;
    for (int row = 0; row < one.n * rows; ++row) {
      for (int k = 0; k < c.k; ++k) {
        double mean = 0, squares = 0, most = 0, far = 0;
        for (int i = 0; i < run; ++i) mean += y[(size_t(row) * run + i) * c.k + k] / run;
        for (int i = 0; i < run; ++i) {
          const double v = y[(size_t(row) * run + i) * c.k + k];
          squares += (v - mean) * (v - mean);
          most = std::max(most, std::fabs(v));
          far = std::max(far, std::fabs(v - mean));
        }
        const double error = (16 + 4.0 * run / 16) * kRoundFloat * most;
        want.insert(want.end(), {mean, squares});
        bound.insert(bound.end(), {error, 64 * kRoundFloat * squares + run * error * (4 * far + error)});
      }
    }
    expect_within("moments", moments.values(), want, bound);
    ConvSm80Layer alone(stream, one.shape, 1, t.image(one.n - 1, one.n));
    alone.forward(5, alone_moments);
    EXPECT_TRUE(alone_moments.bits() == part_of(moments, one.n - 1, one.n));
  });
  EXPECT_EQ(conv_sm80_moment_rows({{7, 7, 8, 8, 3, 3, 1, 1, 1, 1, 1}}), 0);
}

TEST(ConvSm80, RefusesWhatItCannot) {
  const ConvShape c{8, 8, 16, 8, 3, 3, 1, 1, 1, 1, 1};
  EXPECT_EQ(conv_sm80_refusal({c}), nullptr);
  ConvShape many = c, odd = c, ragged = c;
  many.r = many.s = 5;
  odd.h = 7;
  ragged.c = 12;
  for (const ConvSm80Shape& shape : std::vector<ConvSm80Shape>{{many},
                                                               {odd, 0, true},
                                                               {ragged, 8},
                                                               {c, 4},
                                                               {c, 16},
                                                               {c, 0, false, 4},
                                                               {c, 0, false, 8, 8},
                                                               {ragged, 0, false, 8}})
    EXPECT_NE(conv_sm80_refusal(shape), nullptr);
}

}  // namespace
}  // namespace ito::test
