// SPDX-License-Identifier: Apache-2.0
// Elementary functions as polynomials in fmaf: the same bits on every build, and loops over them vectorise.
// Included by each dialect.h after it has defined DEVICE, clamp_to, reciprocal and round_to_bf16 (host_math.h,
// cuda/dialect.h); kernels include "dialect.h" only.
#pragma once
#include <cmath>
#include <cstring>

#include "kernels/random/philox.h"
#include "kernels/types.h"

namespace ito {

DEVICE float float_from_bits(int32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

DEVICE int32_t bits_from_float(float value) {
  int32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

DEVICE float to_float(float x) {
  return x;
}
DEVICE float to_float(bf16 x) {
  return float_from_bits(static_cast<int32_t>(static_cast<uint32_t>(x.bits) << 16));
}

template <class T>
DEVICE T from_float(float x);
template <>
DEVICE float from_float<float>(float x) {
  return x;
}
// Round to nearest even; NaN stays NaN, 0x7FFF.
template <>
DEVICE bf16 from_float<bf16>(float x) {
  return round_to_bf16(x);
}

// e^x, within 2 units in the last place on [-87, 88]; subnormal, then 0 below; +inf above 88.72, NaN for NaN.
// x = n ln2 + r, |r| <= ln2/2; the Taylor polynomial of degree 7 of e^r; 2^n by two exact factors.
DEVICE float fast_exp(float x) {
  const float above = x > -104.0f ? x : -104.0f;  // fmaxf and fminf would be calls, and no loop would vectorise
  const float clamped = above < 89.0f ? above : 89.0f;
  const float shifted = fmaf(clamped, 1.44269504f, 12582912.0f);  // 1.5 * 2^23: rounds to the nearest integer
  const float n = shifted - 12582912.0f;
  float r = fmaf(n, -0.693145752f, clamped);
  r = fmaf(n, -1.42860677e-6f, r);
  float p = 1.98412698e-4f;
  p = fmaf(p, r, 1.38888889e-3f);
  p = fmaf(p, r, 8.33333333e-3f);
  p = fmaf(p, r, 4.16666667e-2f);
  p = fmaf(p, r, 1.66666667e-1f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  const int32_t e = static_cast<int32_t>(n);
  const int32_t half = e >> 1;
  const float scaled = p * float_from_bits((half + 127) << 23) * float_from_bits((e - half + 127) << 23);
  return x == x ? scaled : x;
}

// ln x for normal x > 0, within 2 units in the last place away from 1; -inf at 0 is not needed and not given.
// x = m 2^e, m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m-1)/(m+1), as a series in s^2.
DEVICE float fast_log(float x) {
  const int32_t bits = bits_from_float(x);
  const int32_t e = (bits - 0x3F3504F3) >> 23;
  const float m = float_from_bits(bits - (e << 23));
  const float s = (m - 1.0f) / (m + 1.0f);
  const float z = s * s;
  float p = 0.153846154f;
  p = fmaf(p, z, 0.181818182f);
  p = fmaf(p, z, 0.222222222f);
  p = fmaf(p, z, 0.285714286f);
  p = fmaf(p, z, 0.4f);
  p = fmaf(p, z, 0.666666667f);
  p = p * z * s;
  const float n = static_cast<float>(e);
  return fmaf(n, 0.693145752f, fmaf(n, 1.42860677e-6f, p) + 2.0f * s);
}

// sin(2 pi u) and cos(2 pi u), absolute error below 3e-7. Reduces to |r| <= 1/8 turn, then swaps by quadrant.
DEVICE void fast_sincos_turns(float u, float* sine, float* cosine) {
  const float shifted = fmaf(u, 4.0f, 12582912.0f);
  const float quadrant = shifted - 12582912.0f;
  const float r = fmaf(quadrant, -0.25f, u) * 6.28318531f;
  const float z = r * r;
  float s = 2.75573192e-6f;
  s = fmaf(s, z, -1.98412698e-4f);
  s = fmaf(s, z, 8.33333333e-3f);
  s = fmaf(s, z, -1.66666667e-1f);
  s = fmaf(s * z, r, r);
  float c = 2.48015873e-5f;
  c = fmaf(c, z, -1.38888889e-3f);
  c = fmaf(c, z, 4.16666667e-2f);
  c = fmaf(c, z, -0.5f);
  c = fmaf(c, z, 1.0f);
  const int32_t q = static_cast<int32_t>(quadrant) & 3;
  const float a = (q & 1) ? c : s;
  const float b = (q & 1) ? s : c;
  *sine = (q & 2) ? -a : a;
  *cosine = ((q + 1) & 2) ? -b : b;
}

// 1 / (1 + e^-x). The exponential is fast_exp's, bit for bit, clamped to +-87.25: so 2^n is one factor, which the sum
// takes up in its rounding, and the reciprocal's operand stays where it needs no slow path. Below -87 the result
// therefore stays at 1.6e-38, and for NaN it is a number: x sigmoid(x) and silu_gradient are right for all numbers and
// NaN for NaN.
DEVICE float sigmoid(float x) {
  const float clamped = clamp_to(87.25f, x);
  const float shifted = fmaf(clamped, -1.44269504f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = fmaf(n, 0.693145752f, clamped);  // of the other sign than fast_exp's, and so is every other coefficient
  r = fmaf(n, 1.42860677e-6f, r);
  float p = -1.98412698e-4f;
  p = fmaf(p, r, 1.38888889e-3f);
  p = fmaf(p, r, -8.33333333e-3f);
  p = fmaf(p, r, 4.16666667e-2f);
  p = fmaf(p, r, -1.66666667e-1f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, -1.0f);
  p = fmaf(p, r, 1.0f);
  // The low bits of shifted are n: shifted left they are those of 2^n, but for the exponent's bias.
  const uint32_t power = (static_cast<uint32_t>(bits_from_float(shifted)) << 23) + 0x3F800000u;
  return reciprocal(fmaf(p, float_from_bits(static_cast<int32_t>(power)), 1.0f));
}

// silu(x) = x s, silu'(x) = s (1 + x (1 - s)), s = sigmoid(x)   (Elfwing et al. 2018)
DEVICE float silu_gradient(float x) {
  const float s = sigmoid(x);
  return s * fmaf(x, 1.0f - s, 1.0f);
}

// Four standard normals from one Philox call (Box and Muller 1958), pairs (v0, v1) and (v2, v3).
struct Normal4 {
  float v[4];
};

DEVICE Normal4 normal4(Random4 random) {
  Normal4 out;
  for (int pair = 0; pair < 2; ++pair) {
    const float radius = sqrtf(-2.0f * fast_log(uniform_open0(random.v[2 * pair])));
    float s, c;
    fast_sincos_turns(uniform01(random.v[2 * pair + 1]), &s, &c);
    out.v[2 * pair] = radius * c;
    out.v[2 * pair + 1] = radius * s;
  }
  return out;
}

// Sixteen running sums, folded in a fixed tree: a reduction that vectorises at every width with the same bits.
struct Lanes16 {
  float lane[16] = {};
  DEVICE float total() const {
    float a[8], b[4];
    for (int i = 0; i < 8; ++i) a[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; ++i) b[i] = a[i] + a[i + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
  }
};

}  // namespace ito
