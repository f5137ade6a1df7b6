// SPDX-License-Identifier: Apache-2.0
// Nearest resampling, 2x2 mean pooling and channel concatenation, NHWC, as plain fp64 loops. Gradients scatter, on
// purpose by another road than the kernels, which gather.
#pragma once
#include <cmath>
#include <vector>

#include "tests/cases/resample.h"

namespace ito::ref {

using Values = std::vector<double>;

inline int nearest_source(int i, int size, int out) {
  const float scale = static_cast<float>(size) / static_cast<float>(out);  // fp32, as PyTorch
  return std::min(static_cast<int>(std::floor(static_cast<float>(i) * scale)), size - 1);
}

inline size_t at(int n, int h, int w, int c, int height, int width, int channels) {
  return ((static_cast<size_t>(n) * height + h) * width + w) * channels + c;
}

// Calls f(output index, input index) for every element of the upsampled tensor.
template <class F>
void each_nearest(const cases::Resample& s, F&& f) {
  for (int n = 0; n < s.n; ++n)
    for (int i = 0; i < s.out_h; ++i)
      for (int j = 0; j < s.out_w; ++j)
        for (int k = 0; k < s.c; ++k)
          f(at(n, i, j, k, s.out_h, s.out_w, s.c),
            at(n, nearest_source(i, s.h, s.out_h), nearest_source(j, s.w, s.out_w), k, s.h, s.w, s.c));
}

// Calls f(output index, input index) for every term of the pooled tensor.
template <class F>
void each_pooled(const cases::Resample& s, F&& f) {
  for (int n = 0; n < s.n; ++n)
    for (int i = 0; i < s.h / 2 * 2; ++i)
      for (int j = 0; j < s.w / 2 * 2; ++j)
        for (int k = 0; k < s.c; ++k) f(at(n, i / 2, j / 2, k, s.h / 2, s.w / 2, s.c), at(n, i, j, k, s.h, s.w, s.c));
}

inline Values upsample_nearest(const Values& x, const cases::Resample& s) {
  Values y(s.outputs(), 0.0);
  each_nearest(s, [&](size_t to, size_t from) { y[to] = x[from]; });
  return y;
}
inline Values upsample_nearest_backward(const Values& dy, const cases::Resample& s) {
  Values dx(s.inputs(), 0.0);
  each_nearest(s, [&](size_t to, size_t from) { dx[from] += dy[to]; });
  return dx;
}
inline Values average_pool(const Values& x, const cases::Resample& s) {
  Values y(s.pooled(), 0.0);
  each_pooled(s, [&](size_t to, size_t from) { y[to] += 0.25 * x[from]; });
  return y;
}
inline Values average_pool_backward(const Values& dy, const cases::Resample& s) {
  Values dx(s.inputs(), 0.0);
  each_pooled(s, [&](size_t to, size_t from) { dx[from] += 0.25 * dy[to]; });
  return dx;
}

}  // namespace ito::ref
