// SPDX-License-Identifier: Apache-2.0
// Convolution and its gradients in fp64, definitions as in kernels/seams/conv.h; the gradients are scattered from the
// forward's own index walk, so that they share no index arithmetic with the kernels' gather.
#pragma once
#include <vector>

#include "kernels/seams/conv.h"

namespace ito::ref {

// Calls f(index of y, of x, of w) for every term of every sum of image n.
template <class F>
void conv_terms(const ConvShape& s, int n, F&& f) {
  for (int p = 0; p < s.out_h(); ++p) {
    for (int q = 0; q < s.out_w(); ++q) {
      for (int k = 0; k < s.k; ++k) {
        for (int r = 0; r < s.r; ++r) {
          for (int t = 0; t < s.s; ++t) {
            const int h = p * s.stride - s.pad_top + r, w = q * s.stride - s.pad_left + t;
            if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
            for (int c = 0; c < s.c; ++c) {
              f(((size_t(n) * s.out_h() + p) * s.out_w() + q) * s.k + k, ((size_t(n) * s.h + h) * s.w + w) * s.c + c,
                ((size_t(k) * s.r + r) * s.s + t) * s.c + c);
            }
          }
        }
      }
    }
  }
}

struct ConvEpilogueValues {
  std::vector<double> bias, residual;  // (K), (N, OH, OW, K); empty: none
  double scale = 1.0;
};

inline std::vector<double> conv_forward(const std::vector<double>& x, const std::vector<double>& w,
                                        const ConvEpilogueValues& e, const ConvShape& s, int n) {
  const size_t image = size_t(s.out_h()) * s.out_w() * s.k;
  std::vector<double> y(n * image, 0.0);
  for (int i = 0; i < n; ++i) conv_terms(s, i, [&](size_t o, size_t in, size_t f) { y[o] += x[in] * w[f]; });
  for (size_t o = 0; o < y.size(); ++o) {
    const size_t k = o % s.k;
    if (!e.bias.empty()) y[o] += e.bias[k];
    if (!e.residual.empty()) y[o] += e.residual[o];
    y[o] *= e.scale;
  }
  return y;
}

inline std::vector<double> conv_backward_data(const std::vector<double>& dy, const std::vector<double>& w,
                                              const ConvShape& s, int n) {
  std::vector<double> dx(size_t(n) * s.h * s.w * s.c, 0.0);
  for (int i = 0; i < n; ++i) conv_terms(s, i, [&](size_t o, size_t in, size_t f) { dx[in] += dy[o] * w[f]; });
  return dx;
}

// (chunks, K, R, S, C) for chunks of `images` images.
inline std::vector<double> conv_backward_weight(const std::vector<double>& dy, const std::vector<double>& x,
                                                const ConvShape& s, int n, int images) {
  std::vector<double> dw(size_t(ceil_div(n, images)) * s.weights(), 0.0);
  for (int i = 0; i < n; ++i) {
    const size_t chunk = size_t(i / images) * s.weights();
    conv_terms(s, i, [&](size_t o, size_t in, size_t f) { dw[chunk + f] += dy[o] * x[in]; });
  }
  return dw;
}

}  // namespace ito::ref
