// SPDX-License-Identifier: Apache-2.0
// See sliced_wasserstein.h. Both sets are projected on one direction after another and sorted there.
#include "engine/evaluate/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/random/host_normal.h"

namespace ito {
namespace {

std::vector<double> unit_direction(int64_t dim, uint64_t seed, uint32_t index) {
  std::vector<double> direction(dim);
  double norm = 0;
  for (int64_t i = 0; i < dim; ++i) {
    const Random4 random = philox4x32(seed, static_cast<uint32_t>(i / 4), 0, index, purpose_word(Purpose::Projection));
    direction[i] = host_normal(random, static_cast<int>(i % 4));
    norm += direction[i] * direction[i];
  }
  for (double& d : direction) d /= std::sqrt(norm);
  return direction;
}

std::vector<double> project(const std::vector<float>& points, const std::vector<double>& direction) {
  const int64_t dim = static_cast<int64_t>(direction.size());
  std::vector<double> projected(points.size() / dim, 0.0);
  for (size_t n = 0; n < projected.size(); ++n)
    for (int64_t i = 0; i < dim; ++i) projected[n] += points[n * dim + i] * direction[i];
  std::sort(projected.begin(), projected.end());
  return projected;
}

}  // namespace

double wasserstein_1d(const std::vector<double>& a, const std::vector<double>& b) {
  ITO_CHECK(!a.empty() && !b.empty(), "Wasserstein distance of an empty set");
  // Walks the breakpoints i/na and j/nb of the two quantile functions.
  double sum = 0, at = 0;
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    const double end_a = static_cast<double>(i + 1) / static_cast<double>(a.size());
    const double end_b = static_cast<double>(j + 1) / static_cast<double>(b.size());
    const double next = std::min(end_a, end_b);
    sum += std::fabs(a[i] - b[j]) * (next - at);
    at = next;
    if ((i + 1) * b.size() <= (j + 1) * a.size()) {
      if ((i + 1) * b.size() == (j + 1) * a.size()) ++j;
      ++i;
    } else {
      ++j;
    }
  }
  return sum;
}

double sliced_wasserstein(const std::vector<float>& a, const std::vector<float>& b, int64_t dim, int projections,
                          uint64_t seed) {
  double sum = 0;
  for (int p = 0; p < projections; ++p) {
    const std::vector<double> direction = unit_direction(dim, seed, static_cast<uint32_t>(p));
    sum += wasserstein_1d(project(a, direction), project(b, direction));
  }
  return sum / projections;
}

}  // namespace ito
