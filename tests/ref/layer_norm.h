// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm with modulation in fp64, definitions as in kernels/nn/layer_norm.h. Beside each result its
// magnitude, of which a kernel's rounding error is a small multiple. That of xhat: with M the mean of |x| (0 for
// RMSNorm) and R = (|x| + M) rstd, a rounding of x - mean is R's, and one of rstd is relative to xhat; but x - mean
// within rstd loses the mean square of R besides. So X = R + |xhat| (1 + rms R).
#pragma once
#include <cmath>
#include <vector>

#include "kernels/nn/layer_norm.h"

namespace ito::ref {

struct LayerNormInputs {
  std::vector<double> x;             // (N, rows, C)
  std::vector<double> weight, bias;  // (C) or empty
  std::vector<double> scale, shift;  // (N, C) or empty
};

struct LayerNormResult {
  std::vector<double> y, y_magnitude, xhat, xhat_magnitude;        // (N, rows, C)
  std::vector<double> mean, mean_magnitude, rstd, rstd_magnitude;  // a row
};

inline double or_else(const std::vector<double>& values, size_t i, double otherwise) {
  return values.empty() ? otherwise : values[i];
}

inline LayerNormResult layer_norm_forward(const LayerNormInputs& in, const LayerNormShape& s) {
  LayerNormResult out;
  for (int row = 0; row < s.n * s.rows; ++row) {
    const double* x = in.x.data() + size_t(row) * s.c;
    double mean = 0, size = 0, square = 0, spread = 0;
    for (int j = 0; s.centred && j < s.c; ++j) mean += x[j] / s.c, size += std::fabs(x[j]) / s.c;
    for (int j = 0; j < s.c; ++j) square += (x[j] - mean) * (x[j] - mean) / s.c;
    for (int j = 0; j < s.c; ++j) spread += std::pow(std::fabs(x[j]) + size, 2) / s.c;
    const double rstd = 1.0 / std::sqrt(square + s.eps), rms = std::sqrt(spread) * rstd;
    out.mean.push_back(mean), out.mean_magnitude.push_back(size);
    out.rstd.push_back(rstd), out.rstd_magnitude.push_back(rstd * (1 + rms));
    for (int j = 0; j < s.c; ++j) {
      const size_t of_image = size_t(row / s.rows) * s.c + j;
      const double xhat = (x[j] - mean) * rstd,
                   magnitude = (std::fabs(x[j]) + size) * rstd + std::fabs(xhat) * (1 + rms);
      const double weight = or_else(in.weight, j, 1), bias = or_else(in.bias, j, 0);
      const double gain = 1 + or_else(in.scale, of_image, 0), shift = or_else(in.shift, of_image, 0);
      out.xhat.push_back(xhat), out.xhat_magnitude.push_back(magnitude);
      out.y.push_back((weight * xhat + bias) * gain + shift);
      out.y_magnitude.push_back(magnitude * std::fabs(weight * gain) + std::fabs(bias * gain) + std::fabs(shift));
    }
  }
  return out;
}

struct LayerNormSlopes {
  std::vector<double> dx, dscale, dshift, dweight, dbias;  // (N, rows, C), then (N, C) each
};

// Gradients, or with `magnitude` their magnitudes.
inline LayerNormSlopes layer_norm_backward(const std::vector<double>& dy, const LayerNormInputs& in,
                                           const LayerNormShape& s, bool magnitude = false) {
  const LayerNormResult of = layer_norm_forward(in, s);
  const std::vector<double>& xhat = magnitude ? of.xhat_magnitude : of.xhat;
  const auto sized = [magnitude](double v) { return magnitude ? std::fabs(v) : v; };
  const size_t rows = size_t(s.n) * s.c;
  LayerNormSlopes out;
  for (auto* v : {&out.dscale, &out.dshift, &out.dweight, &out.dbias}) v->assign(rows, 0.0);
  for (int row = 0; row < s.n * s.rows; ++row) {
    double m1 = 0, m2 = 0;
    std::vector<double> g;
    for (int j = 0; j < s.c; ++j) {
      const size_t i = size_t(row) * s.c + j, of_image = size_t(row / s.rows) * s.c + j;
      const double weight = sized(or_else(in.weight, j, 1)), bias = sized(or_else(in.bias, j, 0));
      const double gain = sized(1 + or_else(in.scale, of_image, 0)), d = sized(dy[i]);
      g.push_back(d * weight * gain);
      if (s.centred) m1 += g.back() / s.c;
      m2 += g.back() * xhat[i] / s.c;
      out.dshift[of_image] += d, out.dscale[of_image] += d * (weight * xhat[i] + bias);
      out.dbias[of_image] += gain * d, out.dweight[of_image] += gain * d * xhat[i];
    }
    for (int j = 0; j < s.c; ++j) {
      const double x = xhat[size_t(row) * s.c + j];
      if (magnitude)
        out.dx.push_back(of.rstd_magnitude[row] * (g[j] + m1 + x * m2));
      else
        out.dx.push_back(of.rstd[row] * (g[j] - m1 - x * m2));
    }
  }
  return out;
}

}  // namespace ito::ref
