// SPDX-License-Identifier: Apache-2.0
// Timestep features, fp32 (formulas in the header). Exponents, frequencies and angles are rounded to fp32 where PyTorch
// rounds them, because at t = 1000 one unit in the last place of a frequency moves the angle by 1e-4; exp, ln, sin and
// cos between those roundings are taken in double, so each is the fp32 number nearest to the true value.
// One item a frequency (a pair of outputs). Bytes an item: 4 or 8 read, 8 written; N * C / 2 items, so speed is no
// matter.
#include "kernels/diffusion/timestep_embedding.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"

namespace ito {
namespace {

// [sin, cos], or [cos, sin] with flip, at columns i and half + i.
DEVICE void write_pair(float* row, int i, int half, float angle, bool flip) {
  double s, c;
  double_sincos(static_cast<double>(angle), &s, &c);
  row[i] = static_cast<float>(flip ? c : s);
  row[half + i] = static_cast<float>(flip ? s : c);
}

DEVICE void sinusoidal_item(int64_t item, float* y, const float* t, int c, float freq_shift, bool flip) {
  const int half = c / 2, columns = half + c % 2;
  const int64_t image = item / columns;
  const int i = static_cast<int>(item % columns);
  float* row = y + image * c;
  if (i == half) {  // only when C is odd
    row[c - 1] = 0.0f;
    return;
  }
  const float exponent = -9.21034037f * static_cast<float>(i) / (static_cast<float>(half) - freq_shift);
  const float frequency = static_cast<float>(double_exp(static_cast<double>(exponent)));
  write_pair(row, i, half, t[image] * frequency, flip);
}

DEVICE void fourier_item(int64_t item, float* y, const float* t, const float* weight, int c, bool flip) {
  const int64_t image = item / c;
  const int i = static_cast<int>(item % c);
  const float log_t = static_cast<float>(double_log(static_cast<double>(t[image])));
  write_pair(y + image * 2 * c, i, c, log_t * weight[i] * 2.0f * 3.14159265f, flip);
}

DEVICE void timestep_to_index_item(int64_t i, int32_t* index, const float* t) {
  index[i] = static_cast<int32_t>(t[i]);
}

}  // namespace

void sinusoidal_embedding(Stream& stream, float* y, const float* t, int n, int c, float freq_shift, bool flip) {
  ITO_CHECK(n >= 0 && c >= 2, "sinusoidal_embedding: N ", n, ", C ", c, ", expected C of at least 2");
  ITO_CHECK(static_cast<float>(c / 2) > freq_shift, "sinusoidal_embedding: freq_shift ", freq_shift,
            ", expected below C / 2 = ", c / 2);
  for_each<sinusoidal_item>("sinusoidal_embedding", int64_t{n} * ((c + 1) / 2), stream, y, t, c, freq_shift, flip);
}

void fourier_embedding(Stream& stream, float* y, const float* t, const float* weight, int n, int c, bool flip) {
  ITO_CHECK(n >= 0 && c > 0, "fourier_embedding: N ", n, ", C ", c, ", expected positive sizes");
  for_each<fourier_item>("fourier_embedding", int64_t{n} * c, stream, y, t, weight, c, flip);
}

void timesteps_to_index(Stream& stream, int32_t* index, const float* t, int n) {
  for_each<timestep_to_index_item>("timesteps_to_index", n, stream, index, t);
}

}  // namespace ito
