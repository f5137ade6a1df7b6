// SPDX-License-Identifier: Apache-2.0
// Pooling over windows, NHWC, as plain fp64 loops: every pixel of the padded image is asked whether it is of the image.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/nn/windows.h"

namespace ito::ref {

using Values = std::vector<double>;

// result(values of the window that lie in the image) for every output element.
template <class F>
Values each_window(const Values& x, const WindowShape& s, int n, F&& result) {
  Values y;
  for (int image = 0; image < n; ++image)
    for (int p = 0; p < s.out_h(); ++p)
      for (int q = 0; q < s.out_w(); ++q)
        for (int k = 0; k < s.c; ++k) {
          Values inside;
          for (int i = 0; i < s.size; ++i)
            for (int j = 0; j < s.size; ++j) {
              const int h = p * s.stride - s.pad + i, w = q * s.stride - s.pad + j;
              if (h >= 0 && h < s.h && w >= 0 && w < s.w)
                inside.push_back(x[((static_cast<size_t>(image) * s.h + h) * s.w + w) * s.c + k]);
            }
          y.push_back(result(inside));
        }
  return y;
}

inline Values window_max(const Values& x, const WindowShape& s, int n) {
  return each_window(x, s, n, [](const Values& v) { return *std::max_element(v.begin(), v.end()); });
}
inline Values window_mean(const Values& x, const WindowShape& s, int n) {
  return each_window(x, s, n, [](const Values& v) {
    double sum = 0;
    for (const double one : v) sum += one;
    return sum / static_cast<double>(v.size());
  });
}

}  // namespace ito::ref
