// SPDX-License-Identifier: Apache-2.0
// See pairs.h. A thread takes a few rows at a time, so that a point of b is read from memory once for all of them.
#include "engine/evaluate/pairs.h"

#include <algorithm>

#include "engine/data/in_threads.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int64_t kRowsAtATime = 8;  // that a thread takes at a time
constexpr int64_t kLanes = 8;        // sums side by side

// term(i) for i in [0, n).
template <class Term>
double sum_in_lanes(int64_t n, const Term& term) {
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t v = 0; v < kLanes; ++v) lane[v] += term(i + v);
  for (int64_t v = 0; i + v < n; ++v) lane[v] += term(i + v);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

}  // namespace

double dot_product(const double* x, const double* y, int64_t n) {
  return sum_in_lanes(n, [&](int64_t i) { return x[i] * y[i]; });
}

double squared_distance(const double* x, const double* y, int64_t n) {
  return sum_in_lanes(n, [&](int64_t i) { return (x[i] - y[i]) * (x[i] - y[i]); });
}

void for_each_row_of_pairs(const FeatureSet& a, const FeatureSet& b,
                           double (*of)(const double*, const double*, int64_t), int threads,
                           std::atomic<int64_t>* progress, const std::function<void(int64_t i, double* pair)>& use) {
  ITO_CHECK(a.dim == b.dim, "pairs of points of ", a.dim, " and ", b.dim, " numbers");
  for_each_in_threads(0, (a.count + kRowsAtATime - 1) / kRowsAtATime, threads, [&](int64_t block) {
    const int64_t first = block * kRowsAtATime, rows = std::min(kRowsAtATime, a.count - first);
    std::vector<double> pair(static_cast<size_t>(rows * b.count));
    for (int64_t j = 0; j < b.count; ++j)
      for (int64_t r = 0; r < rows; ++r) pair[r * b.count + j] = of(a.row(first + r), b.row(j), a.dim);
    for (int64_t r = 0; r < rows; ++r) use(first + r, pair.data() + r * b.count);
    if (progress) *progress += rows;
  });
}

std::vector<double> squared_radii(const FeatureSet& set, int k, int threads, std::atomic<int64_t>* progress) {
  ITO_CHECK(k >= 1 && k < set.count, "neighbour ", k, " of ", set.count, " points");
  std::vector<double> radii(static_cast<size_t>(set.count));
  for_each_row_of_pairs(set, set, squared_distance, threads, progress, [&](int64_t i, double* pair) {
    std::swap(pair[i], pair[set.count - 1]);  // itself
    std::nth_element(pair, pair + k - 1, pair + set.count - 1);
    radii[i] = pair[k - 1];
  });
  return radii;
}

}  // namespace ito
