// SPDX-License-Identifier: Apache-2.0
// Elementary functions in double, for the few numbers where fp32 polynomials are not enough (angles of a thousand
// radians, powers): the libraries' own differ between a GPU and a CPU, these do not. Include after "dialect.h".
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ito {

DEVICE bool is_finite(double x) {
  return x - x == 0.0;
}

DEVICE double double_from_bits(int64_t bits) {
  double value;
  memcpy(&value, &bits, 8);
  return value;
}

DEVICE int64_t bits_from_double(double value) {
  int64_t bits;
  memcpy(&bits, &value, 8);
  return bits;
}

// e^x, relative error below 1e-13 for |x| <= 700 (clamped there). x = n ln2 + r, |r| <= ln2/2; Taylor to r^12.
DEVICE double double_exp(double x) {
  const double clamped = x > 700.0 ? 700.0 : x < -700.0 ? -700.0 : x;
  const double shifted = fma(clamped, 1.4426950408889634, 6755399441055744.0);  // 1.5 * 2^52: to the nearest integer
  const double n = shifted - 6755399441055744.0;
  double r = fma(n, -0.6931471805599453, clamped);
  r = fma(n, -2.3190468138462996e-17, r);
  double p = 1.0;
  for (int k = 12; k >= 1; --k) p = fma(p, r / k, 1.0);
  return p * double_from_bits((static_cast<int64_t>(n) + 1023) << 52);
}

// ln x for normal x > 0, relative error below 1e-13 away from 1, absolute below 1e-15 near it.
// x = m 2^e, m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m-1)/(m+1).
DEVICE double double_log(double x) {
  const int64_t bits = bits_from_double(x);
  const int64_t e = (bits - 0x3FE6A09E667F3BCD) >> 52;
  const double m = double_from_bits(bits - (e << 52));
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double p = 0.0;
  for (int k = 9; k >= 0; --k) p = fma(p, z, 1.0 / (2 * k + 1));
  const double n = static_cast<double>(e);
  return fma(n, 0.6931471805599453, fma(n, 2.3190468138462996e-17, 2.0 * s * p));
}

// sin x and cos x, absolute error below 1e-12 for |x| up to 1e6. Reduction by pi/2, then Taylor on [-pi/4, pi/4].
DEVICE void double_sincos(double x, double* sine, double* cosine) {
  const double shifted = fma(x, 0.6366197723675814, 6755399441055744.0);
  const double quadrant = shifted - 6755399441055744.0;
  double r = fma(quadrant, -1.5707963267948966, x);
  r = fma(quadrant, -6.123233995736766e-17, r);
  const double z = r * r;
  double s = 1.0, c = 1.0;
  for (int k = 14; k >= 2; k -= 2) {
    s = fma(s, -z / (k * (k + 1)), 1.0);
    c = fma(c, -z / (k * (k - 1)), 1.0);
  }
  s *= r;
  const int64_t q = static_cast<int64_t>(quadrant) & 3;
  const double a = (q & 1) ? c : s;
  const double b = (q & 1) ? s : c;
  *sine = (q & 2) ? -a : a;
  *cosine = ((q + 1) & 2) ? -b : b;
}

}  // namespace ito
