// SPDX-License-Identifier: Apache-2.0
// GroupNorm with time embedding, scale-shift and SiLU in fp64, definitions as in kernels/nn/group_norm.h. Beside each
// result its magnitude: the sum of the absolute values of the terms that a kernel adds up to get there, of which its
// rounding error is a small multiple.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/nn/group_norm.h"
#include "tests/ref/linear.h"

namespace ito::ref {

struct GroupNormInputs {
  std::vector<double> x, gamma, beta;  // (N, HW, C), (C), (C)
  std::vector<double> temb;            // (N, C) or empty
  std::vector<double> scale_shift;     // (N, 2C) or empty
};

struct GroupNormForward {
  std::vector<double> y, stats;                     // (N, HW, C), (N, G, 2)
  std::vector<double> y_magnitude, mean_magnitude;  // of y; of the means (N, G)
};

struct GroupNormBackward {
  std::vector<double> dx, dgamma, dbeta, dtemb, dscale_shift;  // (N, HW, C), (N, C), (N, C), (N, C), (N, 2C)
  std::vector<double> dx_magnitude, dgamma_magnitude, dbeta_magnitude, dtemb_magnitude, dscale_shift_magnitude;
};

// One image and group at a time: u, mean, rstd and the per-channel affine that follows.
struct GroupNormView {
  const GroupNormInputs& in;
  const GroupNormShape& s;
  int n;
  size_t at(int p, int c) const { return (size_t(n) * s.hw + p) * s.c + c; }
  double temb(int c) const { return in.temb.empty() ? 0.0 : in.temb[size_t(n) * s.c + c]; }
  double gain(int c) const { return in.scale_shift.empty() ? 1.0 : 1.0 + in.scale_shift[size_t(n) * 2 * s.c + c]; }
  double shift(int c) const { return in.scale_shift.empty() ? 0.0 : in.scale_shift[size_t(n) * 2 * s.c + s.c + c]; }
  double u(int p, int c) const { return in.x[at(p, c)] + temb(c); }
  double magnitude_u(int p, int c) const { return std::fabs(in.x[at(p, c)]) + std::fabs(temb(c)); }
};

inline GroupNormForward group_norm_forward(const GroupNormInputs& in, const GroupNormShape& s) {
  GroupNormForward out;
  out.y.resize(in.x.size());
  out.y_magnitude.resize(in.x.size());
  const int size = s.c / s.groups;
  for (int n = 0; n < s.n; ++n) {
    const GroupNormView view{in, s, n};
    for (int g = 0; g < s.groups; ++g) {
      double sum = 0, magnitude = 0, square = 0;
      for (int p = 0; p < s.hw; ++p)
        for (int c = g * size; c < (g + 1) * size; ++c) sum += view.u(p, c), magnitude += view.magnitude_u(p, c);
      const double count = double(s.hw) * size, mean = sum / count;
      for (int p = 0; p < s.hw; ++p)
        for (int c = g * size; c < (g + 1) * size; ++c) square += (view.u(p, c) - mean) * (view.u(p, c) - mean);
      const double rstd = 1.0 / std::sqrt(square / count + s.eps);
      out.stats.push_back(mean);
      out.stats.push_back(rstd);
      out.mean_magnitude.push_back(magnitude / count);
      for (int p = 0; p < s.hw; ++p) {
        for (int c = g * size; c < (g + 1) * size; ++c) {
          const double a = (view.u(p, c) - mean) * rstd * in.gamma[c] + in.beta[c];
          const double z = a * view.gain(c) + view.shift(c);
          out.y[view.at(p, c)] = s.silu ? silu(z) : z;
          out.y_magnitude[view.at(p, c)] =
              (view.magnitude_u(p, c) + magnitude / count) * rstd * std::fabs(in.gamma[c] * view.gain(c)) +
              std::fabs(in.beta[c] * view.gain(c)) + std::fabs(view.shift(c)) + std::fabs(out.y[view.at(p, c)]);
        }
      }
    }
  }
  return out;
}

inline GroupNormBackward group_norm_backward(const std::vector<double>& dy, const GroupNormInputs& in,
                                             const GroupNormShape& s) {
  const GroupNormForward forward = group_norm_forward(in, s);
  const size_t rows = size_t(s.n) * s.c;
  GroupNormBackward out;
  for (auto* v : {&out.dx, &out.dx_magnitude}) v->resize(in.x.size());
  for (auto* v :
       {&out.dgamma, &out.dbeta, &out.dtemb, &out.dgamma_magnitude, &out.dbeta_magnitude, &out.dtemb_magnitude})
    v->resize(rows);
  for (auto* v : {&out.dscale_shift, &out.dscale_shift_magnitude}) v->resize(2 * rows);
  const int size = s.c / s.groups;
  const double count = double(s.hw) * size;
  for (int n = 0; n < s.n; ++n) {
    const GroupNormView view{in, s, n};
    for (int g = 0; g < s.groups; ++g) {
      const double mean = forward.stats[(size_t(n) * s.groups + g) * 2];
      const double rstd = forward.stats[(size_t(n) * s.groups + g) * 2 + 1];
      const double mean_magnitude = forward.mean_magnitude[size_t(n) * s.groups + g];
      // dz of an element with its magnitude, and xhat with its magnitude.
      const auto element = [&](int p, int c, double* xhat, double* dz, double* xhat_size, double* dz_size) {
        *xhat = (view.u(p, c) - mean) * rstd;
        *xhat_size = (view.magnitude_u(p, c) + mean_magnitude) * rstd;
        const double z = (*xhat * in.gamma[c] + in.beta[c]) * view.gain(c) + view.shift(c);
        const double z_size = (*xhat_size * std::fabs(in.gamma[c]) + std::fabs(in.beta[c])) * std::fabs(view.gain(c)) +
                              std::fabs(view.shift(c));
        const double grad = dy[view.at(p, c)];
        *dz = s.silu ? grad * silu_slope(z) : grad;
        *dz_size = s.silu ? std::fabs(grad) * (1.1 + 0.5 * z_size) : std::fabs(grad);
      };
      double m1 = 0, m2 = 0, m1_size = 0, m2_size = 0, xhat, dz, xhat_size, dz_size;
      for (int p = 0; p < s.hw; ++p) {
        for (int c = g * size; c < (g + 1) * size; ++c) {
          element(p, c, &xhat, &dz, &xhat_size, &dz_size);
          const double w = in.gamma[c] * view.gain(c);
          m1 += w * dz / count;
          m2 += w * dz * xhat / count;
          m1_size += std::fabs(w) * dz_size / count;
          m2_size += std::fabs(w) * dz_size * xhat_size / count;
        }
      }
      for (int p = 0; p < s.hw; ++p) {
        for (int c = g * size; c < (g + 1) * size; ++c) {
          element(p, c, &xhat, &dz, &xhat_size, &dz_size);
          const double w = in.gamma[c] * view.gain(c), gain = view.gain(c);
          const size_t row = size_t(n) * s.c + c, wide = size_t(n) * 2 * s.c + c;
          const double du = rstd * (w * dz - m1 - xhat * m2);
          const double du_size = rstd * (std::fabs(w) * dz_size + m1_size + xhat_size * m2_size);
          out.dx[view.at(p, c)] = du;
          out.dx_magnitude[view.at(p, c)] = du_size;
          out.dtemb[row] += du;
          out.dtemb_magnitude[row] += du_size;
          out.dbeta[row] += gain * dz;
          out.dbeta_magnitude[row] += std::fabs(gain) * dz_size;
          out.dgamma[row] += gain * dz * xhat;
          out.dgamma_magnitude[row] += std::fabs(gain) * dz_size * xhat_size;
          out.dscale_shift[wide] += dz * (in.gamma[c] * xhat + in.beta[c]);
          out.dscale_shift_magnitude[wide] += dz_size * (std::fabs(in.gamma[c]) * xhat_size + std::fabs(in.beta[c]));
          out.dscale_shift[wide + s.c] += dz;
          out.dscale_shift_magnitude[wide + s.c] += dz_size;
        }
      }
    }
  }
  return out;
}

}  // namespace ito::ref
