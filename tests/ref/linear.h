// SPDX-License-Identifier: Apache-2.0
// y = b + f(x) w^T and its gradients in fp64, definitions as in kernels/nn/linear.h.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/nn/linear.h"

namespace ito::ref {

inline double silu(double x) {
  return x / (1.0 + std::exp(-x));
}
inline double silu_slope(double x) {
  const double s = 1.0 / (1.0 + std::exp(-x));
  return s * (1.0 + x * (1.0 - s));
}

inline std::vector<double> linear_forward(const std::vector<double>& x, const std::vector<double>& w,
                                          const std::vector<double>& b, const LinearShape& s) {
  std::vector<double> y(size_t(s.n) * s.k);
  for (int n = 0; n < s.n; ++n) {
    for (int k = 0; k < s.k; ++k) {
      double sum = b.empty() ? 0.0 : b[k];
      for (int c = 0; c < s.c; ++c) {
        const double in = x[size_t(n) * s.c + c];
        sum += (s.silu_input ? silu(in) : in) * w[size_t(k) * s.c + c];
      }
      y[size_t(n) * s.k + k] = sum;
    }
  }
  return y;
}

struct LinearGradients {
  std::vector<double> dx, dweight, dbias;
};

inline LinearGradients linear_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                       const std::vector<double>& w, const LinearShape& s) {
  LinearGradients g{std::vector<double>(x.size()), std::vector<double>(w.size()), std::vector<double>(s.k)};
  for (int n = 0; n < s.n; ++n) {
    for (int k = 0; k < s.k; ++k) {
      const double grad = dy[size_t(n) * s.k + k];
      g.dbias[k] += grad;
      for (int c = 0; c < s.c; ++c) {
        const double in = x[size_t(n) * s.c + c];
        g.dx[size_t(n) * s.c + c] += grad * w[size_t(k) * s.c + c] * (s.silu_input ? silu_slope(in) : 1.0);
        g.dweight[size_t(k) * s.c + c] += grad * (s.silu_input ? silu(in) : in);
      }
    }
  }
  return g;
}

}  // namespace ito::ref
