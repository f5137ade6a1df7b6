// SPDX-License-Identifier: Apache-2.0
// Sets of points for the tests of metrics.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/evaluate/feature_set.h"
#include "kernels/random/host_normal.h"

namespace ito::test {

inline FeatureSet points(int64_t dim, std::vector<double> values) {
  const auto count = static_cast<int64_t>(values.size()) / dim;
  return {count, dim, std::move(values), {}, {}};
}

// Normal numbers; features are of different sizes and depend on one another.
inline FeatureSet random_points(int64_t count, int64_t dim, uint64_t seed, double mean = 0) {
  FeatureSet set{count, dim, std::vector<double>(static_cast<size_t>(count * dim)), {}, {}};
  for (int64_t i = 0; i < count * dim; ++i) {
    const double normal = host_normal(philox4x32(seed, static_cast<uint32_t>(i), 0, 0, 0), 0);
    const double before = i % dim ? set.values[i - 1] : 0.0;
    set.values[i] = mean + 0.4 * before + normal / static_cast<double>(1 + i % dim);
  }
  return set;
}

inline FeatureSet reversed(const FeatureSet& set) {
  FeatureSet other = set;
  for (int64_t i = 0; i < set.count; ++i)
    for (int64_t d = 0; d < set.dim; ++d) other.values[i * set.dim + d] = set.row(set.count - 1 - i)[d];
  return other;
}

inline double plain_square(const double* x, const double* y, int64_t dim) {
  double sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += (x[d] - y[d]) * (x[d] - y[d]);
  return sum;
}

}  // namespace ito::test
