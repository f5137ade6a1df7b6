// SPDX-License-Identifier: Apache-2.0
// GroupNorm and its backward against fp64 loops; the loops against finite differences.
#include "kernels/nn/group_norm.h"

#include "tests/cases/group_norm.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/group_norm.h"

namespace ito::test {
namespace {

// Rounding steps between inputs and a result, in half units of its magnitude (tests/ref/group_norm.h). An element: the
// exponential 4, the rest of SiLU 4, the affine 4. A sum over pixels: those of its terms, and for a run of 32 in fp32
// (everything above it is fp64) 4, the square root of its mean number of partial sums.
constexpr double kElementUnits = 12 * kRoundFloat;
constexpr double kSumUnits = 16 * kRoundFloat;

struct NormCase {
  GroupNormShape shape;
  ref::GroupNormInputs in;
  Values dy;
};

template <class T>
NormCase make(const cases::GroupNormCase& c) {
  NormCase s;
  s.shape.n = c.n, s.shape.hw = c.hw, s.shape.c = c.c, s.shape.groups = c.groups, s.shape.silu = c.silu;
  const size_t count = size_t(c.n) * c.hw * c.c;
  s.in.x = stored<T>(random_values(count, 1, 1.5, c.mean));
  s.in.gamma = stored<float>(random_values(c.c, 2, 0.5, 1.0));
  s.in.beta = stored<float>(random_values(c.c, 3, 0.5));
  if (c.temb) s.in.temb = stored<float>(random_values(size_t(c.n) * c.c, 4));
  if (c.scale_shift) s.in.scale_shift = stored<float>(random_values(size_t(c.n) * 2 * c.c, 5, 0.5));
  s.dy = stored<T>(random_values(count, 6));
  return s;
}

// Rows of `width` at distance `stride`: the kernels read and write slices of a wider matrix.
Values spread(const Values& rows, int width, int stride) {
  Values out(rows.size() / width * stride, NAN);
  for (size_t i = 0; i < rows.size(); ++i) out[i / width * stride + i % width] = rows[i];
  return out;
}
Values gather(const Values& rows, int width, int stride) {
  Values out;
  for (size_t i = 0; i < rows.size(); ++i)
    if (int(i % stride) < width) out.push_back(rows[i]);
  return out;
}

// The launchers as a layer calls them, or over several blocks a group whatever the device and the shape.
enum class Form { Chosen, Spread };

void forward(Stream& stream, Form form, DataRef y, float* stats, const GroupNormInput& x, const float* gamma,
             const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape) {
  DeviceArray<float> workspace(stream, size_t(2) * shape.n * group_norm_segments(shape.hw) * shape.c);
  EXPECT_LE(group_norm_forward_workspace(shape), workspace.bytes());
  if (form == Form::Chosen) {
    group_norm_forward(stream, y, stats, x, gamma, beta, modulation, shape, workspace);
  } else {
    group_norm_statistics(stream, stats, x, modulation, shape, workspace);
    group_norm_apply(stream, y, x, stats, gamma, beta, modulation, shape);
  }
}

void backward(Stream& stream, Form form, const GroupNormGradients& gradients, ConstDataRef dy, const GroupNormInput& x,
              const float* stats, const float* gamma, const float* beta, const GroupNormModulation& modulation,
              const GroupNormShape& shape) {
  DeviceArray<float> workspace(stream,
                               shape.n * (size_t(3) * group_norm_segments(shape.hw) * shape.c + 2 * shape.groups));
  EXPECT_LE(group_norm_backward_workspace(shape), workspace.bytes());
  (form == Form::Chosen ? group_norm_backward : group_norm_backward_spread)(stream, gradients, dy, x, stats, gamma,
                                                                            beta, modulation, shape, workspace);
}

template <class T>
void expect_loops(const std::vector<cases::GroupNormCase>& all, Form form) {
  for_each_case(all, [form](Stream& stream, const cases::GroupNormCase& c) {
    const std::string what = join_text(form == Form::Chosen ? "" : "spread ", "group_norm n=", c.n, " hw=", c.hw,
                                       " c=", c.c, " g=", c.groups, " ", name_of(dtype_of<T>));
    const NormCase s = make<T>(c);
    DeviceArray<T> x(stream, s.in.x), y(stream, s.in.x.size()), dy(stream, s.dy);
    DeviceArray<float> gamma(stream, s.in.gamma), beta(stream, s.in.beta), stats(stream, size_t(c.n) * c.groups * 2);
    const int stride = c.c + 3, wide = 2 * c.c + 5;
    DeviceArray<float> temb(stream, spread(s.in.temb, c.c, stride));
    DeviceArray<float> scale_shift(stream, spread(s.in.scale_shift, 2 * c.c, wide));
    GroupNormModulation modulation;
    modulation.temb_stride = stride, modulation.scale_shift_stride = wide;
    if (c.temb) modulation.temb = temb;
    if (c.scale_shift) modulation.scale_shift = scale_shift;

    forward(stream, form, y.data(), stats, x.data(), gamma, beta, modulation, s.shape);
    const ref::GroupNormForward want = ref::group_norm_forward(s.in, s.shape);
    expect_close(what + " y", y.values(), want.y, kRound<T>, kElementUnits, want.y_magnitude);
    Values mean, rstd, want_mean, want_rstd, rstd_size;
    for (size_t i = 0; i < want.stats.size(); i += 2) {
      mean.push_back(stats.values()[i]), rstd.push_back(stats.values()[i + 1]);
      want_mean.push_back(want.stats[i]), want_rstd.push_back(want.stats[i + 1]);
      // d(rstd)/rstd = -d(variance) rstd^2 / 2, and d(u - mean) is a rounding of |u| and |mean|.
      rstd_size.push_back(want.stats[i + 1] * (1 + want.mean_magnitude[i / 2] * want.stats[i + 1]));
    }
    expect_close(what + " mean", mean, want_mean, kRoundFloat, 4 * kRoundFloat, want.mean_magnitude);
    expect_close(what + " rstd", rstd, want_rstd, kRoundFloat, 6 * kRoundFloat, rstd_size);

    const ref::GroupNormBackward grad = ref::group_norm_backward(s.dy, s.in, s.shape);
    const size_t rows = size_t(c.n) * c.c;
    DeviceArray<float> dgamma(stream, rows), dbeta(stream, rows);
    DeviceArray<float> dtemb(stream, size_t(c.n) * stride), dscale_shift(stream, size_t(c.n) * wide);
    GroupNormGradients out;
    out.dgamma_partial = dgamma, out.dbeta_partial = dbeta;
    if (c.temb) out.dtemb = dtemb;
    if (c.scale_shift) out.dscale_shift = dscale_shift;
    expect_set_and_added<T>(
        stream, what + " dx", grad.dx, kRound<T>, kElementUnits, grad.dx_magnitude,
        [&](DeviceArray<T>& dx, Write write) {
          out.dx = dx.data(), out.write = write;
          backward(stream, form, out, dy.data(), x.data(), stats, gamma, beta, modulation, s.shape);
          expect_close(what + " dgamma", dgamma.values(), grad.dgamma, kRoundFloat, kSumUnits, grad.dgamma_magnitude);
          expect_close(what + " dbeta", dbeta.values(), grad.dbeta, kRoundFloat, kSumUnits, grad.dbeta_magnitude);
        });
    if (c.temb)
      expect_close(what + " dtemb", gather(dtemb.values(), c.c, stride), grad.dtemb, kRoundFloat, kSumUnits,
                   grad.dtemb_magnitude);
    if (c.scale_shift)
      expect_close(what + " dscale_shift", gather(dscale_shift.values(), 2 * c.c, wide), grad.dscale_shift, kRoundFloat,
                   kSumUnits, grad.dscale_shift_magnitude);
  });
}

template <class T>
class GroupNorm : public ::testing::Test {};
TYPED_TEST_SUITE(GroupNorm, StorageTypes);

TYPED_TEST(GroupNorm, MatchesLoops) {
  expect_loops<TypeParam>(cases::group_norm_cases(), Form::Chosen);
}

// One segment, several, a last one of a single pixel; strips of each width; groups over all channels of a slice.
TYPED_TEST(GroupNorm, MatchesLoopsOverSeveralBlocks) {
  expect_loops<TypeParam>({{2, 7, 6, 2, true, true, false, 0.0},
                           {1, 257, 5, 5, true, false, true, 1.0},
                           {1, 600, 40, 4, false, true, true, 0.0},
                           {2, 513, 48, 1, true, true, false, 50.0},
                           {1, 16641, 8, 2, true, false, true, 0.5}},
                          Form::Spread);
}

// Partials (N, segments, C, 2) of x, as whoever makes x may deliver them.
Values moments_of(const Values& x, int n, int hw, int c, int pixels) {
  Values partials;
  for (int i = 0; i < n; ++i)
    for (int p0 = 0; p0 < hw; p0 += pixels)
      for (int k = 0; k < c; ++k) {
        const int p1 = std::min(p0 + pixels, hw);
        double mean = 0, square = 0;
        for (int p = p0; p < p1; ++p) mean += x[(size_t(i) * hw + p) * c + k] / (p1 - p0);
        for (int p = p0; p < p1; ++p) square += std::pow(x[(size_t(i) * hw + p) * c + k] - mean, 2);
        partials.push_back(mean), partials.push_back(square);
      }
  return partials;
}

// Partials of segments of another size, as a convolution's epilogue might deliver them.
TYPED_TEST(GroupNorm, FoldsPartialsOfOthers) {
  using T = TypeParam;
  Stream stream;
  const cases::GroupNormCase c{2, 150, 24, 3, false, true, false, 0.3};
  const NormCase s = make<T>(c);
  constexpr int kPixels = 64, kSegments = 3;
  const Values partials = moments_of(s.in.x, c.n, c.hw, c.c, kPixels);
  ASSERT_EQ(partials.size(), size_t(2) * c.n * kSegments * c.c);
  DeviceArray<float> device_partials(stream, partials), temb(stream, s.in.temb),
      stats(stream, size_t(c.n) * c.groups * 2);
  GroupNormModulation modulation;
  modulation.temb = temb, modulation.temb_stride = c.c;
  group_norm_fold_statistics(stream, stats, device_partials, kPixels, modulation, s.shape);
  const Values want = ref::group_norm_forward(s.in, s.shape).stats;
  expect_close("folded statistics", stats.values(), want, 8 * kRoundFloat, 4 * kRoundFloat);
}

struct TwoCase {
  int n, hw, c, groups, first_c;
  bool silu, temb, scale_shift;
};

// Channels [begin, end) of rows of c.
Values channels(const Values& rows, int c, int begin, int end) {
  Values out;
  for (size_t i = 0; i < rows.size(); ++i)
    if (int(i % c) >= begin && int(i % c) < end) out.push_back(rows[i]);
  return out;
}

template <class T>
void expect_bits_of_concatenation(Stream& stream, const TwoCase& c, Form form) {
  SCOPED_TRACE(join_text(form == Form::Chosen ? "" : "spread ", "n=", c.n, " hw=", c.hw, " c=", c.c, " g=", c.groups,
                         " first ", c.first_c));
  ASSERT_TRUE(group_norm_takes_two(c.c, c.first_c));
  const NormCase s = make<T>({c.n, c.hw, c.c, c.groups, c.silu, c.temb, c.scale_shift, 0.3});
  const Values old = stored<T>(random_values(s.dy.size(), 7));
  const auto side = [&](const Values& all, int second) {
    return second ? channels(all, c.c, c.first_c, c.c) : channels(all, c.c, 0, c.first_c);
  };
  DeviceArray<T> x(stream, s.in.x), x0(stream, side(s.in.x, 0)), x1(stream, side(s.in.x, 1)), dy(stream, s.dy);
  DeviceArray<float> gamma(stream, s.in.gamma), beta(stream, s.in.beta), temb(stream, s.in.temb),
      scale_shift(stream, s.in.scale_shift);
  GroupNormModulation modulation;
  modulation.temb_stride = c.c, modulation.scale_shift_stride = 2 * c.c;
  if (c.temb) modulation.temb = temb;
  if (c.scale_shift) modulation.scale_shift = scale_shift;
  const GroupNormInput one = x.data(), two{x0.data(), x1.data(), c.first_c};

  const auto forward_bits = [&](const GroupNormInput& input, DeviceArray<float>& stats) {
    DeviceArray<T> y(stream, s.in.x.size());
    forward(stream, form, y.data(), stats, input, gamma, beta, modulation, s.shape);
    return y.bits() + stats.bits();
  };
  DeviceArray<float> stats(stream, size_t(c.n) * c.groups * 2), stats_of_two(stream, stats.size());
  EXPECT_EQ(forward_bits(two, stats_of_two), forward_bits(one, stats));

  // Gradients that are numbers of channels; dx is where `out` says.
  const auto backward_bits = [&](const GroupNormInput& input, GroupNormGradients out) {
    DeviceArray<float> dgamma(stream, size_t(c.n) * c.c), dbeta(stream, dgamma.size()), dtemb(stream, dgamma.size()),
        dscale_shift(stream, 2 * dgamma.size());
    out.dgamma_partial = dgamma, out.dbeta_partial = dbeta;
    if (c.temb) out.dtemb = dtemb;
    if (c.scale_shift) out.dscale_shift = dscale_shift;
    backward(stream, form, out, dy.data(), input, stats, gamma, beta, modulation, s.shape);
    return dgamma.bits() + dbeta.bits() + dtemb.bits() + dscale_shift.bits();
  };
  std::string want_bits;
  Values want[2];
  for (const Write write : {Write::Set, Write::Add}) {
    DeviceArray<T> dx(stream, old);
    GroupNormGradients out;
    out.dx = dx.data(), out.write = write;
    want_bits = backward_bits(one, out);
    want[write == Write::Add] = dx.values();
  }
  for (const Write write : {Write::Set, Write::Add}) {
    for (const Write write1 : {Write::Set, Write::Add}) {
      DeviceArray<T> dx0(stream, side(old, 0)), dx1(stream, side(old, 1));
      GroupNormGradients out;
      out.dx = dx0.data(), out.write = write, out.dx1 = dx1.data(), out.write1 = write1;
      EXPECT_EQ(backward_bits(two, out), want_bits);
      EXPECT_EQ(dx0.bits(), DeviceArray<T>(stream, side(want[write == Write::Add], 0)).bits());
      EXPECT_EQ(dx1.bits(), DeviceArray<T>(stream, side(want[write1 == Write::Add], 1)).bits());
    }
  }
}

// Borders at a group's and within one, at a slice's and within one; strips of 8 and of 32 on a CPU.
TYPED_TEST(GroupNorm, OfTwoTensorsHasTheBitsOfTheirConcatenation) {
  for_each_case(std::vector<TwoCase>{{2, 7, 24, 3, 8, true, true, true},
                                     {1, 1, 16, 1, 8, false, false, false},
                                     {2, 65, 48, 2, 16, true, true, false},
                                     {1, 16, 320, 32, 192, true, false, true},
                                     {1, 300, 96, 4, 32, true, true, true},
                                     {2, 270, 72, 9, 64, false, false, false}},
                [](Stream& stream, const TwoCase& c) {
                  expect_bits_of_concatenation<TypeParam>(stream, c, Form::Chosen);
                  expect_bits_of_concatenation<TypeParam>(stream, c, Form::Spread);
                });
}

// Moments of two tensors in segments of their own, the border in a group.
TYPED_TEST(GroupNorm, FoldsPartialsOfTwo) {
  Stream stream;
  const cases::GroupNormCase c{2, 150, 24, 3, false, true, false, 0.3};
  const NormCase s = make<TypeParam>(c);
  constexpr int kFirst = 13;
  const auto stats_of = [&](GroupNormMoments moments) {
    DeviceArray<float> temb(stream, s.in.temb), stats(stream, size_t(c.n) * c.groups * 2);
    GroupNormModulation modulation;
    modulation.temb = temb, modulation.temb_stride = c.c;
    group_norm_fold_statistics(stream, stats, moments, modulation, s.shape);
    return std::pair(stats.values(), stats.bits());
  };
  const Values first = channels(s.in.x, c.c, 0, kFirst), second = channels(s.in.x, c.c, kFirst, c.c);
  const auto partials = [&](const Values& x, int channels, int pixels) {
    return moments_of(x, c.n, c.hw, channels, pixels);
  };
  DeviceArray<float> first64(stream, partials(first, kFirst, 64)), second64(stream, partials(second, c.c - kFirst, 64)),
      second100(stream, partials(second, c.c - kFirst, 100)), all64(stream, partials(s.in.x, c.c, 64));
  const auto [values, bits] = stats_of({first64, 64, second100, 100, kFirst});
  expect_close("folded statistics", values, ref::group_norm_forward(s.in, s.shape).stats, 8 * kRoundFloat,
               4 * kRoundFloat);
  EXPECT_EQ(stats_of({first64, 64, second64, 64, kFirst}).second, stats_of({all64, 64}).second);
  EXPECT_THROW(stats_of({first64, 64, second64, 64, c.c}), Error);
  EXPECT_THROW(stats_of({first64, 64, second64, 0, kFirst}), Error);
}

TYPED_TEST(GroupNorm, AnImageDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Stream stream;
  constexpr int kPixels = 300;  // over several blocks on a GPU
  const NormCase s = make<T>({3, kPixels, 64, 8, true, false, false, 0.0});
  const size_t image = kPixels * 64;
  DeviceArray<T> x(stream, s.in.x), dy(stream, s.dy), y3(stream, 3 * image), y1(stream, image), dx3(stream, 3 * image),
      dx1(stream, image);
  DeviceArray<float> gamma(stream, s.in.gamma), beta(stream, s.in.beta), stats3(stream, 48), stats1(stream, 16);
  DeviceArray<float> dgamma3(stream, 192), dgamma1(stream, 64), dbeta3(stream, 192), dbeta1(stream, 64);
  const auto run = [&](int n, T* y, float* stats, const T* in, const T* grad, T* dx, float* dgamma, float* dbeta) {
    GroupNormShape shape = s.shape;
    shape.n = n;
    GroupNormGradients out;
    out.dx = dx, out.dgamma_partial = dgamma, out.dbeta_partial = dbeta;
    forward(stream, Form::Chosen, y, stats, in, gamma, beta, {}, shape);
    backward(stream, Form::Chosen, out, grad, in, stats, gamma, beta, {}, shape);
  };
  run(3, y3, stats3, x, dy, dx3, dgamma3, dbeta3);
  for (int i : {0, 2}) {
    run(1, y1, stats1, x + i * image, dy + i * image, dx1, dgamma1, dbeta1);
    EXPECT_EQ(y1.bits(), y3.bits().substr(i * y1.bytes(), y1.bytes()));
    EXPECT_EQ(stats1.bits(), stats3.bits().substr(i * stats1.bytes(), stats1.bytes()));
    EXPECT_EQ(dx1.bits(), dx3.bits().substr(i * dx1.bytes(), dx1.bytes()));
    EXPECT_EQ(dgamma1.bits(), dgamma3.bits().substr(i * dgamma1.bytes(), dgamma1.bytes()));
    EXPECT_EQ(dbeta1.bits(), dbeta3.bits().substr(i * dbeta1.bytes(), dbeta1.bytes()));
  }
}

TEST(GroupNormReference, MatchesFiniteDifferences) {
  const NormCase s = make<float>({2, 5, 6, 3, true, true, true, 0.3});
  const ref::GroupNormBackward grad = ref::group_norm_backward(s.dy, s.in, s.shape);
  const auto loss_of = [&](Values ref::GroupNormInputs::*member) {
    return [&s, member](const Values& v) {
      ref::GroupNormInputs in = s.in;
      in.*member = v;
      return dot(s.dy, ref::group_norm_forward(in, s.shape).y);
    };
  };
  const auto over_images = [](const Values& rows, int c) {
    Values sum(c, 0.0);
    for (size_t i = 0; i < rows.size(); ++i) sum[i % c] += rows[i];
    return sum;
  };
  expect_gradient("x", loss_of(&ref::GroupNormInputs::x), s.in.x, grad.dx);
  expect_gradient("gamma", loss_of(&ref::GroupNormInputs::gamma), s.in.gamma, over_images(grad.dgamma, 6));
  expect_gradient("beta", loss_of(&ref::GroupNormInputs::beta), s.in.beta, over_images(grad.dbeta, 6));
  expect_gradient("temb", loss_of(&ref::GroupNormInputs::temb), s.in.temb, grad.dtemb);
  expect_gradient("scale_shift", loss_of(&ref::GroupNormInputs::scale_shift), s.in.scale_shift, grad.dscale_shift);
}

TEST(GroupNormChecks, RefusesGroupsThatDoNotDivide) {
  Stream stream;
  DeviceArray<float> x(stream, 12), row(stream, 12);
  GroupNormShape shape;
  shape.n = 1, shape.hw = 2, shape.c = 6, shape.groups = 4;
  EXPECT_THROW(group_norm_forward(stream, x.data(), row, x.data(), row, row, {}, shape, nullptr), Error);
}

TEST(GroupNormChecks, RefusesTwoTensorsOfRaggedChannelsAndHalvesOfGradients) {
  Stream stream;
  DeviceArray<float> x(stream, Values(48, 0.5)), row(stream, Values(48, 1));
  GroupNormShape shape;
  shape.n = 1, shape.hw = 2, shape.c = 24, shape.groups = 4;
  const auto run = [&](int first_c) {
    group_norm_forward(stream, x.data(), row, {x.data(), x.data() + 4, first_c}, row, row, {}, shape, nullptr);
  };
  for (const int first_c : {0, 4, 12, 24}) {
    EXPECT_FALSE(group_norm_takes_two(24, first_c));
    EXPECT_THROW(run(first_c), Error);
  }
  EXPECT_FALSE(group_norm_takes_two(20, 8));
  GroupNormGradients half;
  half.dx = x.data();
  EXPECT_THROW(
      group_norm_backward(stream, half, x.data(), {x.data(), x.data() + 4, 8}, row, row, row, {}, shape, nullptr),
      Error);
  half.dx1 = x.data();
  EXPECT_THROW(group_norm_backward(stream, half, x.data(), x.data(), row, row, row, {}, shape, nullptr), Error);
}

// More than a GPU's block has memory for, refused alike on every device.
TEST(GroupNormChecks, RefusesGroupsThatAreTooWide) {
  Stream stream;
  constexpr int kMost = 5282;
  DeviceArray<float> x(stream, Values(2 * (kMost + 1), 0.5)), stats(stream, 4);
  GroupNormShape shape;
  shape.n = 1, shape.hw = 1, shape.groups = 1;
  for (const int channels : {kMost, kMost + 1}) {
    shape.c = channels;
    const auto run = [&] { group_norm_forward(stream, x.data(), stats, x.data(), x, x, {}, shape, nullptr); };
    if (channels == kMost)
      EXPECT_NO_THROW(run());
    else
      EXPECT_THROW(run(), Error);
  }
}

// Rows of dtemb that would overlap; a single row has no distance.
TEST(GroupNormChecks, RefusesRowsOfDtembThatOverlap) {
  Stream stream;
  constexpr int kImages = 2, kPixels = 2, kChannels = 6;
  DeviceArray<float> x(stream, Values(kImages * kPixels * kChannels, 0.5)), dx(stream, kImages * kPixels * kChannels);
  DeviceArray<float> gamma(stream, Values(kChannels, 1)), stats(stream, Values(kImages * 2 * 2, 1));
  DeviceArray<float> dgamma(stream, kImages * kChannels), dbeta(stream, kImages * kChannels),
      dtemb(stream, Values(kImages * (kChannels + 1), 0));
  const auto run = [&](int images, int64_t stride) {
    GroupNormShape shape;
    shape.n = images, shape.hw = kPixels, shape.c = kChannels, shape.groups = 2;
    GroupNormModulation modulation;
    modulation.temb = dtemb, modulation.temb_stride = stride;
    GroupNormGradients out;
    out.dx = dx.data(), out.dgamma_partial = dgamma, out.dbeta_partial = dbeta, out.dtemb = dtemb;
    group_norm_backward(stream, out, x.data(), x.data(), stats, gamma, gamma, modulation, shape, nullptr);
    stream.synchronize();
  };
  EXPECT_THROW(run(2, 0), Error);
  EXPECT_THROW(run(2, kChannels - 1), Error);
  EXPECT_NO_THROW(run(2, kChannels));
  EXPECT_NO_THROW(run(2, kChannels + 1));
  EXPECT_NO_THROW(run(1, 0));
}

}  // namespace
}  // namespace ito::test
