// SPDX-License-Identifier: Apache-2.0
// Resampling by two through a filter as it is defined: zeros between the pixels of what goes up, the filter over all of
// it with zeros around, every second pixel of what goes down. fp64; gradients scatter through the same loops.
#pragma once
#include <vector>

#include "tests/cases/resample.h"

namespace ito::ref {

using Values = std::vector<double>;

// Calls f(output index, input index, weight) for every term of a filtered axis pair. factor: pixels up by 1 or 2, then
// of all of them each 1st or 2nd. pad: zeros in front; the taps are those of a convolution, the filter turned round.
template <class F>
void each_filtered(const cases::Fir& s, int up, int down, int pad, F&& f) {
  const double taps[4] = {1.0 * up / 8, 3.0 * up / 8, 3.0 * up / 8, 1.0 * up / 8};
  const int out_h = s.h * up / down, out_w = s.w * up / down;
  for (int n = 0; n < s.n; ++n)
    for (int i = 0; i < out_h; ++i)
      for (int j = 0; j < out_w; ++j)
        for (int a = 0; a < 4; ++a)
          for (int b = 0; b < 4; ++b) {
            const int p = i * down + a - pad, q = j * down + b - pad;  // among the pixels and the zeros between them
            if (p < 0 || q < 0 || p % up || q % up || p / up >= s.h || q / up >= s.w) continue;
            for (int k = 0; k < s.c; ++k)
              f(((size_t(n) * out_h + i) * out_w + j) * s.c + k, ((size_t(n) * s.h + p / up) * s.w + q / up) * s.c + k,
                taps[3 - a] * taps[3 - b]);
          }
}

// Up pads two in front and one behind, down one and one.
template <class F>
void each_fir(const cases::Fir& s, bool up, F&& f) {
  up ? each_filtered(s, 2, 1, 2, f) : each_filtered(s, 1, 2, 1, f);
}

inline Values fir(const Values& x, const cases::Fir& s, bool up) {
  Values y(up ? 4 * s.count() : s.count() / 4, 0.0);
  each_fir(s, up, [&](size_t to, size_t from, double weight) { y[to] += weight * x[from]; });
  return y;
}
inline Values fir_backward(const Values& dy, const cases::Fir& s, bool up) {
  Values dx(s.count(), 0.0);
  each_fir(s, up, [&](size_t to, size_t from, double weight) { dx[from] += weight * dy[to]; });
  return dx;
}

}  // namespace ito::ref
