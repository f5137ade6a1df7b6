// SPDX-License-Identifier: Apache-2.0
// LayerNorm, RMSNorm and their modulation against fp64 loops; the loops against finite differences.
#include "kernels/nn/layer_norm.h"

#include "tests/cases/layer_norm.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/layer_norm.h"

namespace ito::test {
namespace {

// Roundings that a sum over a row passes at most: of the longest lane, of the strip's and the warp's folds.
double chain(int c) {
  return 12.0 + (c % 32 == 0 ? c / 32 : c % 8 == 0 ? c / 8 : c);
}
// And one over an image's rows: of a run, of the runs, of the teams.
double run(int rows) {
  return 64.0 + rows / 64 + 8;
}

constexpr int kStride = 4;  // numbers between rows of the modulation, a multiple of 4

struct NormCase {
  LayerNormShape shape;
  ref::LayerNormInputs in;
  Values dy;
};

template <class T>
NormCase make(const cases::LayerNormCase& c) {
  NormCase s{{c.n, c.rows, c.c, 1e-6f, c.centred}, {}, {}};
  const size_t count = size_t(c.n) * c.rows * c.c, of_images = size_t(c.n) * c.c;
  s.in.x = stored<T>(random_values(count, 1, 1.5, c.mean));
  if (c.weight) s.in.weight = stored<float>(random_values(c.c, 2, 0.5, 1.0));
  if (c.bias) s.in.bias = stored<float>(random_values(c.c, 3, 0.5));
  if (c.modulated) s.in.scale = stored<float>(random_values(of_images, 4, 0.5));
  if (c.modulated) s.in.shift = stored<float>(random_values(of_images, 5, 0.5));
  s.dy = stored<T>(random_values(count, 6));
  return s;
}

// What a case has of the affine, on the device: scale and shift side by side in rows that are wider than both.
struct Affine {
  DeviceArray<float> weight, bias, rows;
  LayerNormAffine affine;
  Affine(Stream& stream, const NormCase& s)
      : weight(stream, s.in.weight), bias(stream, s.in.bias), rows(stream, size_t(s.shape.n) * width(s.shape.c)) {
    const int c = s.shape.c;
    if (!s.in.weight.empty()) affine.weight = weight;
    if (!s.in.bias.empty()) affine.bias = bias;
    if (s.in.scale.empty()) return;
    Values wide(rows.size(), NAN);
    for (int n = 0; n < s.shape.n; ++n)
      for (int j = 0; j < c; ++j) {
        wide[size_t(n) * width(c) + scale_at() + j] = s.in.scale[size_t(n) * c + j];
        wide[size_t(n) * width(c) + shift_at(c) + j] = s.in.shift[size_t(n) * c + j];
      }
    rows.upload(wide);
    affine.scale = rows + scale_at(), affine.shift = rows + shift_at(c), affine.stride = width(c);
  }
  static int scale_at() { return 4; }
  static int shift_at(int c) { return 4 + (c + 3) / 4 * 4; }
  static int width(int c) { return shift_at(c) + (c + 3) / 4 * 4 + kStride; }
};

Values part(const Values& rows, int stride, int first, int c) {
  Values out;
  for (size_t i = 0; i < rows.size(); ++i)
    if (int(i % stride) >= first && int(i % stride) < first + c) out.push_back(rows[i]);
  return out;
}

template <class T>
class LayerNorm : public ::testing::Test {};
TYPED_TEST_SUITE(LayerNorm, StorageTypes);

TYPED_TEST(LayerNorm, MatchesLoops) {
  using T = TypeParam;
  for_each_case(cases::layer_norm_cases(), [](Stream& stream, const cases::LayerNormCase& c) {
    const NormCase s = make<T>(c);
    const Affine affine(stream, s);
    const double unit = (chain(c.c) + 8) * kRoundFloat;
    DeviceArray<T> x(stream, s.in.x), y(stream, s.in.x.size()), dy(stream, s.dy);
    DeviceArray<float> stats(stream, size_t(c.n) * c.rows * s.shape.statistics());
    layer_norm_forward(stream, y.data(), stats, x.data(), affine.affine, s.shape);
    const ref::LayerNormResult want = ref::layer_norm_forward(s.in, s.shape);
    expect_close("y", y.values(), want.y, kRound<T>, unit, want.y_magnitude);
    const int per = s.shape.statistics();
    expect_close("rstd", part(stats.values(), per, per - 1, 1), want.rstd, 0, unit, want.rstd_magnitude);
    if (c.centred) expect_close("mean", part(stats.values(), 2, 0, 1), want.mean, 0, unit, want.mean_magnitude);

    const ref::LayerNormSlopes grad = ref::layer_norm_backward(s.dy, s.in, s.shape),
                               size = ref::layer_norm_backward(s.dy, s.in, s.shape, true);
    const int width = Affine::width(c.c);
    const Values old = stored<float>(random_values(size_t(c.n) * width, 8));
    const auto backward = [&](DataRef dx, Write write, float* dweight, float* dbias, float* rows, Write rows_write) {
      LayerNormGradients out{.dx = dx, .write = write, .dweight_partial = dweight, .dbias_partial = dbias};
      out.modulation_write = rows_write;
      if (c.modulated && rows) out.dscale = rows + Affine::scale_at(), out.dshift = rows + Affine::shift_at(c.c);
      layer_norm_backward(stream, out, dy.data(), x.data(), stats, affine.affine, s.shape);
    };
    expect_set_and_added<T>(stream, "dx", grad.dx, kRound<T>, 2 * unit, size.dx, [&](DeviceArray<T>& dx, Write write) {
      backward(dx.data(), write, nullptr, nullptr, nullptr, Write::Set);
    });
    const double sums = (run(c.rows) + chain(c.c) + 12) * kRoundFloat;
    DeviceArray<float> dweight(stream, size_t(c.n) * c.c), dbias(stream, dweight.size());
    for (const Write write : {Write::Set, Write::Add}) {
      DeviceArray<float> rows(stream, old);
      backward({}, Write::Set, dweight, dbias, rows, write);
      expect_close("dweight", dweight.values(), grad.dweight, 0, sums, size.dweight);
      expect_close("dbias", dbias.values(), grad.dbias, 0, sums, size.dbias);
      if (!c.modulated) continue;
      const auto expect_rows = [&](const char* what, int first, const Values& gradient, const Values& magnitude) {
        const Values before = part(old, width, first, c.c);
        const bool add = write == Write::Add;
        expect_close(what, part(rows.values(), width, first, c.c), add ? plus(gradient, before) : gradient, 0, sums,
                     add ? plus(magnitude, absolute(before)) : magnitude);
      };
      expect_rows("dscale", Affine::scale_at(), grad.dscale, size.dscale);
      expect_rows("dshift", Affine::shift_at(c.c), grad.dshift, size.dshift);
      EXPECT_EQ(part(rows.values(), width, 0, 4), part(old, width, 0, 4)) << "what stands beside is another's";
    }
  });
}

TYPED_TEST(LayerNorm, AnImageDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Stream stream;
  const cases::LayerNormCase three{3, 600, 64, true, true, true, true, 0.2};
  const NormCase s = make<T>(three);
  const Affine affine(stream, s);
  const size_t image = size_t(three.rows) * three.c;
  DeviceArray<T> x(stream, s.in.x), dy(stream, s.dy);
  const auto bits = [&](int first, int n) {
    LayerNormShape shape = s.shape;
    shape.n = n;
    LayerNormAffine of = affine.affine;
    of.scale += first * of.stride, of.shift += first * of.stride;
    DeviceArray<T> y(stream, n * image), dx(stream, n * image);
    DeviceArray<float> stats(stream, size_t(n) * three.rows * 2), dweight(stream, size_t(n) * three.c),
        dbias(stream, dweight.size()), drows(stream, n * of.stride);
    layer_norm_forward(stream, y.data(), stats, x + first * image, of, shape);
    layer_norm_backward(stream,
                        {.dx = dx.data(),
                         .dweight_partial = dweight,
                         .dbias_partial = dbias,
                         .dscale = drows + Affine::scale_at(),
                         .dshift = drows + Affine::shift_at(three.c)},
                        dy + first * image, x + first * image, stats, of, shape);
    return std::vector<std::string>{y.bits(), dx.bits(), stats.bits(), dweight.bits(), dbias.bits(), drows.bits()};
  };
  const std::vector<std::string> all = bits(0, 3);
  for (const int i : {0, 2}) {
    const std::vector<std::string> one = bits(i, 1);
    for (size_t k = 0; k < all.size(); ++k) EXPECT_EQ(one[k], all[k].substr(i * one[k].size(), one[k].size())) << k;
  }
}

TEST(LayerNormReference, MatchesFiniteDifferences) {
  for (const bool centred : {true, false}) {
    const NormCase s = make<float>({2, 3, 6, centred, true, true, true, 0.3});
    const ref::LayerNormSlopes grad = ref::layer_norm_backward(s.dy, s.in, s.shape);
    const auto loss_of = [&s](Values ref::LayerNormInputs::*member) {
      return [&s, member](const Values& v) {
        ref::LayerNormInputs in = s.in;
        in.*member = v;
        return dot(s.dy, ref::layer_norm_forward(in, s.shape).y);
      };
    };
    const auto over_images = [](const Values& rows) {
      Values sum(6, 0.0);
      for (size_t i = 0; i < rows.size(); ++i) sum[i % 6] += rows[i];
      return sum;
    };
    expect_gradient("x", loss_of(&ref::LayerNormInputs::x), s.in.x, grad.dx);
    expect_gradient("weight", loss_of(&ref::LayerNormInputs::weight), s.in.weight, over_images(grad.dweight));
    expect_gradient("bias", loss_of(&ref::LayerNormInputs::bias), s.in.bias, over_images(grad.dbias));
    expect_gradient("scale", loss_of(&ref::LayerNormInputs::scale), s.in.scale, grad.dscale);
    expect_gradient("shift", loss_of(&ref::LayerNormInputs::shift), s.in.shift, grad.dshift);
  }
}

TEST(LayerNormChecks, RefusesRowsThatOverlapAndGradientsOfWhatIsAbsent) {
  Stream stream;
  DeviceArray<float> x(stream, Values(48, 0.5)), stats(stream, Values(48, 1));
  const LayerNormShape shape{2, 2, 8, 1e-6f, true};
  EXPECT_THROW(layer_norm_forward(stream, x.data(), stats, x.data(), {.scale = x, .stride = 4}, shape), Error);
  LayerNormGradients out;
  out.dscale = stats;
  EXPECT_THROW(layer_norm_backward(stream, out, x.data(), x.data(), stats, {}, shape), Error);
}

}  // namespace
}  // namespace ito::test
