// SPDX-License-Identifier: Apache-2.0
// A data gradient that takes in the first step of the backward of the GroupNorm before the convolution, and what is
// left of that backward: against fp64 loops and against the two apart; an image's bits at any place.
#include "kernels/nn/group_norm.h"
#include "tests/kernels/nn/conv_sm80_run.h"
#include "tests/ref/conv.h"
#include "tests/ref/group_norm.h"

namespace ito::test {
namespace {

struct Case {
  ConvShape conv;
  int n, groups;
  bool silu, temb, scale_shift;
  int first_c;  // where the norm reads two tensors
};

// Rows of 16, 32 and 64 pixels in square tiles, of 64, 128 and 128 of several in wide ones; a tile that is not full,
// and columns of a tile that no channel fills; few output channels; a 1x1 filter behind a norm without SiLU.
const Case kCases[] = {{{4, 4, 24, 40, 3, 3, 1, 1, 1, 1, 1}, 5, 3, true, true, false, 0},
                       {{4, 8, 40, 8, 3, 3, 1, 1, 1, 1, 1}, 3, 5, true, true, true, 0},
                       {{8, 16, 64, 16, 3, 3, 1, 1, 1, 1, 1}, 1, 8, true, false, false, 24},
                       {{8, 8, 104, 16, 3, 3, 1, 1, 1, 1, 1}, 3, 13, true, false, true, 0},
                       {{8, 8, 136, 8, 3, 3, 1, 1, 1, 1, 1}, 3, 17, true, true, false, 40},
                       {{16, 8, 72, 24, 1, 1, 1, 0, 0, 0, 0}, 2, 9, false, false, false, 0},
                       {{16, 16, 72, 3, 3, 3, 1, 1, 1, 1, 1}, 2, 3, true, true, false, 0}};

// As in test_conv_sm80.cpp: the sum of a tensor core; as in test_group_norm.cpp: an element of a norm.
double sum_unit(double terms) {
  return (std::min(terms, 4 * std::sqrt(terms)) + 8) * 2 * kRoundFloat;
}
constexpr double kElementUnits = 12 * kRoundFloat;

Values times(Values a, double factor) {
  for (double& v : a) v *= factor;
  return a;
}

struct Host {
  explicit Host(const Case& c) : conv({c.conv}, c.n) {
    shape.n = c.n, shape.hw = c.conv.h * c.conv.w, shape.c = c.conv.c, shape.groups = c.groups, shape.silu = c.silu;
    in.x = stored<bf16>(random_values(conv.x.size(), 11, 1.5, 0.5));
    in.gamma = stored<float>(random_values(c.conv.c, 12, 0.5, 1.0));
    in.beta = stored<float>(random_values(c.conv.c, 13, 0.5));
    if (c.temb) in.temb = stored<float>(random_values(size_t(c.n) * c.conv.c, 14));
    if (c.scale_shift) in.scale_shift = stored<float>(random_values(size_t(c.n) * 2 * c.conv.c, 15, 0.5));
    stats = ref::group_norm_forward(in, shape).stats;
  }
  Host image(int i) const {
    Host one = *this;
    const int n = shape.n;
    one.conv = conv.image(i, n), one.shape.n = 1;
    for (Values* v : {&one.in.x, &one.in.temb, &one.in.scale_shift, &one.stats}) {
      const auto size = static_cast<ptrdiff_t>(v->size() / n);
      *v = Values(v->begin() + i * size, v->begin() + (i + 1) * size);
    }
    return one;
  }
  ConvSm80Tensors conv;
  GroupNormShape shape;
  ref::GroupNormInputs in;
  Values stats;
};

// The convolution's data gradient and the norm's backward on the device, as one step or as two.
struct Pair {
  Pair(Stream& s, const Case& c, const Host& h)
      : stream(s),
        host(h),
        layer(s, {c.conv}, h.shape.n, h.conv),
        x(s, h.in.x),
        x0(s, channels(h.in.x, c.conv.c, 0, c.first_c)),
        x1(s, channels(h.in.x, c.conv.c, c.first_c, c.conv.c)),
        front(s, h.in.x.size()),
        dx(s, h.in.x.size()),
        gamma(s, h.in.gamma),
        beta(s, h.in.beta),
        stats(s, h.stats),
        temb(s, h.in.temb),
        scale_shift(s, h.in.scale_shift),
        dgamma(s, h.shape.n * c.conv.c),
        dbeta(s, h.shape.n * c.conv.c),
        dtemb(s, h.in.temb.size()),
        dscale_shift(s, h.in.scale_shift.size()),
        chain(s, size_t(3) * h.shape.n * c.conv.c),
        rows(conv_sm80_norm_rows({c.conv})),
        sums(s, size_t(3) * h.shape.n * rows * c.conv.c),
        workspace(s, h.shape.n * (size_t(3) * group_norm_segments(h.shape.hw) * c.conv.c + 2 * c.groups)) {
    if (temb.size()) modulation.temb = temb, out.dtemb = dtemb;
    if (scale_shift.size()) modulation.scale_shift = scale_shift, out.dscale_shift = dscale_shift;
    modulation.temb_stride = c.conv.c, modulation.scale_shift_stride = 2 * c.conv.c;
    out.dx = dx.data(), out.dgamma_partial = dgamma, out.dbeta_partial = dbeta;
    norm = {x, nullptr, 0, c.silu, chain, sums};
    if (c.first_c) norm.x = x0, norm.x1 = x1, norm.first_c = c.first_c;
  }
  void as_one() {
    group_norm_chain(stream, chain, stats, gamma, beta, modulation, host.shape);
    ConvSm80DataGradient gradient{front};
    gradient.norm = norm;
    layer.backward_data(gradient);
    group_norm_backward_from_sums(stream, out, front.data(), x.data(), sums, rows, stats, gamma, beta, modulation,
                                  host.shape, workspace);
  }
  void as_two() {
    layer.backward_data({front});
    group_norm_backward_spread(stream, out, front.data(), x.data(), stats, gamma, beta, modulation, host.shape,
                               workspace);
  }
  std::string bits() const {
    return front.bits() + sums.bits() + dx.bits() + dgamma.bits() + dbeta.bits() + dtemb.bits() + dscale_shift.bits();
  }

  Stream& stream;
  const Host& host;
  ConvSm80Layer layer;
  DeviceArray<bf16> x, x0, x1, front, dx;
  DeviceArray<float> gamma, beta, stats, temb, scale_shift, dgamma, dbeta, dtemb, dscale_shift, chain;
  int rows;
  DeviceArray<float> sums, workspace;
  GroupNormModulation modulation;
  GroupNormGradients out;
  ConvSm80Norm norm;
};

using Backward = ref::GroupNormBackward;

// What came out of `got` within so many roundings of want's own, and bound's magnitudes.
void expect_norm(const std::string& what, const Pair& got, const Backward& want, int roundings, const Backward& bound) {
  const auto expect = [&](const char* name, const Values& g, double unit, Values Backward::*value,
                          Values Backward::*magnitude) {
    if (!g.empty()) expect_close(what + name, g, want.*value, roundings * unit, 1, bound.*magnitude);
  };
  expect("dx", got.dx.values(), kRound<bf16>, &Backward::dx, &Backward::dx_magnitude);
  expect("dgamma", got.dgamma.values(), kRoundFloat, &Backward::dgamma, &Backward::dgamma_magnitude);
  expect("dbeta", got.dbeta.values(), kRoundFloat, &Backward::dbeta, &Backward::dbeta_magnitude);
  expect("dtemb", got.dtemb.values(), kRoundFloat, &Backward::dtemb, &Backward::dtemb_magnitude);
  expect("dscale_shift", got.dscale_shift.values(), kRoundFloat, &Backward::dscale_shift,
         &Backward::dscale_shift_magnitude);
}

TEST(ConvNormSm80, MatchesLoopsAndTheTwoApart) {
  for_each_case(kCases, [](Stream& stream, const Case& c) {
    const Host host(c);
    Pair one(stream, c, host);
    ASSERT_GT(one.rows, 0);
    one.as_one();

    // dz: the convolution's sum, the derivative of SiLU as an element of the norm, one rounding.
    const Values w = stored<bf16>(host.conv.w), dh = ref::conv_backward_data(host.conv.dy, w, c.conv, c.n);
    const Values dh_size = ref::conv_backward_data(absolute(host.conv.dy), absolute(w), c.conv, c.n);
    const double unit = sum_unit(c.conv.r * c.conv.s * c.conv.k);
    const int channels = c.conv.c, hw = host.shape.hw, run = hw / one.rows, group = channels / c.groups;
    const Values dz = one.front.values();
    Values want_dz(dz.size()), dz_size(dz.size()), d(dz.size());
    for (size_t i = 0; i < dz.size(); ++i) {
      const int k = int(i % channels), image = int(i / channels / hw);
      const double* of_group = &host.stats[(size_t(image) * c.groups + k / group) * 2];
      const double gain = c.scale_shift ? 1 + host.in.scale_shift[(size_t(image) * 2) * channels + k] : 1;
      const double shift = c.scale_shift ? host.in.scale_shift[(size_t(image) * 2 + 1) * channels + k] : 0;
      const double temb = c.temb ? host.in.temb[size_t(image) * channels + k] : 0;
      d[i] = host.in.x[i] + temb - of_group[0];
      const double slope = host.in.gamma[k] * gain * of_group[1], z = d[i] * slope + host.in.beta[k] * gain + shift;
      // An error of z moves silu' by half of it at most; silu' is 1.1 at most.
      const double z_size = (std::fabs(host.in.x[i]) + std::fabs(temb) + std::fabs(of_group[0])) * std::fabs(slope) +
                            std::fabs(host.in.beta[k] * gain) + std::fabs(shift);
      want_dz[i] = c.silu ? dh[i] * ref::silu_slope(z) : dh[i];
      dz_size[i] = 1.1 * unit * dh_size[i] + kElementUnits * std::fabs(dh[i]) * (1.1 + 0.5 * z_size);
    }
    expect_close("dz", dz, want_dz, kRound<bf16>, 1, dz_size);

    // Sums of the rounded dz: a term's d and product, and 24 additions at most.
    Values want(one.sums.size(), 0.0), size(want);
    for (size_t i = 0; i < dz.size(); ++i) {
      const size_t row = i / channels / run, k = i % channels;
      const double terms[] = {dz[i], dz[i] * d[i], d[i]};
      const double d_size = std::fabs(host.in.x[i]) + std::fabs(d[i] - host.in.x[i]) + std::fabs(d[i]);
      const double sizes[] = {std::fabs(dz[i]), std::fabs(dz[i]) * d_size, d_size};
      for (int s = 0; s < 3; ++s) want[(row * 3 + s) * channels + k] += terms[s];
      for (int s = 0; s < 3; ++s) size[(row * 3 + s) * channels + k] += sizes[s];
    }
    expect_close("sums", one.sums.values(), want, 0, 28 * kRoundFloat, size);

    // The rest of the norm, from that dz: a sum's roundings in fp32, those of an element after it.
    GroupNormShape rest = host.shape;
    rest.silu = false;
    const auto backward = [&](const Values& dy, const GroupNormShape& shape, double factor) {
      return ref::group_norm_backward(times(dy, factor), host.in, shape);
    };
    expect_norm("from dz: ", one, backward(dz, rest, 1), 1, backward(absolute(dz), rest, 36 * kRoundFloat));

    // The two apart round dh where the one rounds dz.
    Pair two(stream, c, host);
    two.as_two();
    Backward other;
    other.dx = two.dx.values(), other.dgamma = two.dgamma.values(), other.dbeta = two.dbeta.values();
    other.dtemb = two.dtemb.values(), other.dscale_shift = two.dscale_shift.values();
    expect_norm("as two: ", one, other, 2, backward(absolute(dh), host.shape, 2 * kRound<bf16> + 2 * 36 * kRoundFloat));
  });
}

TEST(ConvNormSm80, ChainsManyChannels) {
  const Host host({{1, 2, 300, 8, 1, 1, 1, 0, 0, 0, 0}, 2, 3, true, true, true, 0});
  Stream stream;
  const DeviceArray<float> gamma(stream, host.in.gamma), beta(stream, host.in.beta), stats(stream, host.stats);
  const DeviceArray<float> temb(stream, host.in.temb), scale_shift(stream, host.in.scale_shift);
  DeviceArray<float> chain(stream, 2 * 3 * 300);
  group_norm_chain(stream, chain, stats, gamma, beta, {temb, 300, scale_shift, 600}, host.shape);
  Values want, bound;
  for (int n = 0; n < 2; ++n) {
    for (int part = 0; part < 3; ++part) {
      for (int k = 0; k < 300; ++k) {
        const double mean = host.stats[2 * (3 * n + k / 100)], rstd = host.stats[2 * (3 * n + k / 100) + 1];
        const double gain = 1 + host.in.scale_shift[600 * n + k], shift = host.in.scale_shift[600 * n + 300 + k];
        const double t = host.in.temb[300 * n + k], g = host.in.gamma[k] * rstd * gain, b = host.in.beta[k] * gain;
        want.push_back(part == 0 ? t - mean : part == 1 ? g : b + shift);
        bound.push_back(4 * kRoundFloat *
                        (part == 0   ? std::fabs(t) + std::fabs(mean)
                         : part == 1 ? std::fabs(g)
                                     : std::fabs(b) + std::fabs(shift)));
      }
    }
  }
  expect_within("chain", chain.values(), want, bound);
}

TEST(ConvNormSm80, AnImageDoesNotDependOnTheOthers) {
  for (const int number : {0, 3}) {
    Stream stream;
    const Case& c = kCases[number];
    const Host host(c);
    Pair all(stream, c, host);
    all.as_one();
    for (const int i : {1, c.n - 1}) {
      const Host part = host.image(i);
      Pair alone(stream, c, part);
      alone.as_one();
      const auto expect = [&](const char* what, const auto& one, const auto& of) {
        EXPECT_TRUE(one.bits() == of.bits().substr(of.bytes() / c.n * i, of.bytes() / c.n))
            << what << " of image " << i;
      };
      expect("dz", alone.front, all.front);
      expect("sums", alone.sums, all.sums);
      expect("dx", alone.dx, all.dx);
      expect("dgamma", alone.dgamma, all.dgamma);
    }
  }
}

TEST(ConvNormSm80, IsNotOfferedWhereImagesAreCutUnlike) {
  const ConvShape c{8, 8, 72, 8, 3, 3, 1, 1, 1, 1, 1};
  EXPECT_EQ(conv_sm80_norm_rows({c}), 1);
  ConvShape odd = c, ragged = c, few = c, strided = c;
  odd.h = 9, ragged.c = 76, few.c = 16, strided.stride = 2;
  for (const ConvSm80Shape& shape : std::vector<ConvSm80Shape>{{odd}, {ragged}, {few}, {strided}, {c, 8}, {c, 0, true}})
    EXPECT_EQ(conv_sm80_norm_rows(shape), 0);
  Stream stream;
  DeviceArray<bf16> some(stream, 8);
  DeviceArray<float> numbers(stream, 8);
  ConvSm80DataGradient gradient{some};
  gradient.norm = {some, nullptr, 0, true, numbers, numbers};
  EXPECT_THROW(conv_sm80_backward_data(stream, gradient, some, some, {odd}, 1), Error);
  gradient.write = Write::Add;
  EXPECT_THROW(conv_sm80_backward_data(stream, gradient, some, some, {c}, 1), Error);
}

}  // namespace
}  // namespace ito::test
