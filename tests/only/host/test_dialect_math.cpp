// SPDX-License-Identifier: Apache-2.0
// The elementary functions of dialect/math.h against libm in double. The bounds are those their comments state; one
// unit in the last place (ulp) is that of the exact result.
#include "dialect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ito {
namespace {

double ulps(float got, double want) {
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1.0, std::max(exponent, -125) - 24);
}

TEST(DialectMath, ExpWithinTwoUlps) {
  double worst = 0.0;
  float at = 0.0f;
  for (int i = 0; i <= 1'750'000; ++i) {
    const float x = -87.0f + 1e-4f * static_cast<float>(i);
    const double error = ulps(fast_exp(x), std::exp(static_cast<double>(x)));
    if (error > worst) {
      worst = error;
      at = x;
    }
  }
  EXPECT_LT(worst, 2.0) << "at " << at;
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float x : {-104.5f, -1000.0f, -kInfinity}) EXPECT_EQ(fast_exp(x), 0.0f) << x;
  for (const float x : {88.73f, 89.0f, 1000.0f, kInfinity}) EXPECT_EQ(fast_exp(x), kInfinity) << x;
  EXPECT_TRUE(std::isnan(fast_exp(std::nanf(""))));
}

TEST(DialectMath, LogWithinTwoUlps) {
  double worst = 0.0;
  float at = 0.0f;
  const auto look = [&](int32_t bits) {
    const float x = float_from_bits(bits);
    const double error = x == 1.0f ? std::fabs(fast_log(x)) : ulps(fast_log(x), std::log(static_cast<double>(x)));
    if (error > worst) {
      worst = error;
      at = x;
    }
  };
  for (int32_t bits = 0x00800000; bits < 0x7F800000; bits += 997) look(bits);  // all normal numbers
  for (int32_t bits = 0x3F700000; bits < 0x3F900000; bits += 3) look(bits);    // around 1
  EXPECT_LT(worst, 2.0) << "at " << at;
}

TEST(DialectMath, SineAndCosineOfTurns) {
  double worst = 0.0;
  for (int i = 0; i < 1 << 20; ++i) {
    const float u = static_cast<float>(i) * 0x1p-20f;
    float s, c;
    fast_sincos_turns(u, &s, &c);
    worst = std::max({worst, std::fabs(s - std::sin(2.0 * M_PI * u)), std::fabs(c - std::cos(2.0 * M_PI * u))});
  }
  EXPECT_LT(worst, 3e-7);
}

// s (1 + x (1 - s)) in fp64. s is right to 6 ulps; each factor and product adds one more, of values below |x| + 1.
TEST(DialectMath, SiluGradient) {
  double worst = 0.0;
  for (int i = -87'000; i <= 87'000; ++i) {
    const float x = 1e-3f * static_cast<float>(i);
    const double s = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    worst = std::max(worst, std::fabs(silu_gradient(x) - s * (1.0 + x * (1.0 - s))) / (1.0 + s * std::fabs(x)));
  }
  EXPECT_LT(worst, 12 * 0x1p-24);
}

// 1 / (1 + e): the error of e times e / (1 + e) <= 1, and half an ulp each of the sum and the quotient: below 2 + 1,
// doubled where the result lies just above a power of two.
TEST(DialectMath, SigmoidWithinSixUlps) {
  double worst = 0.0;
  for (int i = -87'000; i <= 87'000; ++i) {
    const float x = 1e-3f * static_cast<float>(i);
    worst = std::max(worst, ulps(sigmoid(x), 1.0 / (1.0 + std::exp(-static_cast<double>(x)))));
  }
  EXPECT_LT(worst, 6.0);
  EXPECT_EQ(sigmoid(0.0f), 0.5f);
}

// 2^n is one exact factor, which the sum takes up in its own rounding: so it is the quotient of fast_exp, bit for bit.
TEST(DialectMath, SigmoidIsTheQuotient) {
  for (int i = -872'000; i <= 872'000; ++i) {
    const float x = 1e-4f * static_cast<float>(i);
    ASSERT_EQ(bits_from_float(sigmoid(x)), bits_from_float(1.0f / (1.0f + fast_exp(-x)))) << x;
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(sigmoid(kInfinity), 1.0f);
  EXPECT_EQ(sigmoid(-kInfinity), sigmoid(-87.25f));
  EXPECT_LT(sigmoid(-kInfinity), 1.3e-38f);
  const float nan = std::nanf("");
  EXPECT_TRUE(std::isnan(nan * sigmoid(nan)));
  EXPECT_TRUE(std::isnan(silu_gradient(nan)));
}

// radius <= sqrt(2 ln 2^24) < 5.8 with a relative error below 2 ulps of the logarithm (halved by the root) plus one
// ulp: under 3 * 2^-24 in all; the sine below 3e-7.
TEST(DialectMath, NormalsAreBoxMuller) {
  constexpr double kBound = 5.8 * (3.0 * 0x1p-24 + 3e-7);
  double worst = 0.0, sum = 0.0, squares = 0.0;
  constexpr int kCalls = 100'000;
  for (int i = 0; i < kCalls; ++i) {
    const Random4 random = philox4x32(7, static_cast<uint32_t>(i), 0, 0, 0);
    const Normal4 got = normal4(random);
    for (int pair = 0; pair < 2; ++pair) {
      const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_open0(random.v[2 * pair]))));
      const double turn = 2.0 * M_PI * uniform01(random.v[2 * pair + 1]);
      worst = std::max({worst, std::fabs(got.v[2 * pair] - radius * std::cos(turn)),
                        std::fabs(got.v[2 * pair + 1] - radius * std::sin(turn))});
    }
    for (const float v : got.v) {
      sum += v;
      squares += static_cast<double>(v) * v;
    }
  }
  EXPECT_LT(worst, kBound);
  constexpr double kN = 4.0 * kCalls;
  EXPECT_LT(std::fabs(sum / kN), 5.0 / std::sqrt(kN));  // five standard deviations
  EXPECT_LT(std::fabs(squares / kN - 1.0), 5.0 * std::sqrt(2.0 / kN));
}

TEST(DialectMath, Bf16RoundsToNearestEven) {
  for (uint32_t high = 0; high < 0x7F80; high += 1) {
    const auto of = [&](uint32_t low) {
      return from_float<bf16>(float_from_bits(static_cast<int32_t>(high << 16 | low))).bits;
    };
    ASSERT_EQ(of(0x0000), high);
    ASSERT_EQ(of(0x7FFF), high);
    ASSERT_EQ(of(0x8000), high + (high & 1));
    ASSERT_EQ(of(0x8001), high + 1);
    ASSERT_EQ(to_float(bf16{static_cast<uint16_t>(high)}), float_from_bits(static_cast<int32_t>(high << 16)));
  }
  EXPECT_EQ(from_float<bf16>(-1.0f).bits, 0xBF80);
  EXPECT_EQ(from_float<bf16>(std::numeric_limits<float>::max()).bits, 0x7F80);
  const bf16 nan = from_float<bf16>(float_from_bits(0x7F800001));  // a NaN whose upper half alone is infinity
  EXPECT_EQ(nan.bits, 0x7FFF);
}

TEST(DialectMath, SixteenLanesAddUp) {
  Lanes16 lanes;
  for (int i = 0; i < 1000; ++i) lanes.lane[i & 15] += static_cast<float>(i);
  EXPECT_EQ(lanes.total(), 499500.0f);
}

}  // namespace
}  // namespace ito
