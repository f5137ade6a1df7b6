// SPDX-License-Identifier: Apache-2.0
// Elementwise operations and row sums as plain fp64 loops.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace ito::ref {

using Values = std::vector<double>;

inline double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}
inline double silu(double x) {
  return x * sigmoid(x);
}
inline double silu_derivative(double x) {
  return sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)));
}

// out (groups, C): sums of x (rows, C) over consecutive groups of group_rows rows, the last perhaps shorter.
inline Values sum_groups(const Values& x, int64_t group_rows, int64_t rows, int c) {
  Values out(static_cast<size_t>((rows + group_rows - 1) / group_rows * c), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int k = 0; k < c; ++k) out[static_cast<size_t>(r / group_rows * c + k)] += x[static_cast<size_t>(r * c + k)];
  }
  return out;
}

inline Values absolute(Values x) {
  for (double& v : x) v = std::fabs(v);
  return x;
}

}  // namespace ito::ref
