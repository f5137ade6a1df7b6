// SPDX-License-Identifier: Apache-2.0
// See sliced_wasserstein.h. Both sets are projected on one direction after another and sorted there.
#include "engine/evaluate/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/data/in_threads.h"
#include "engine/evaluate/pairs.h"
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

std::vector<double> project(const FeatureSet& points, const std::vector<double>& direction) {
  std::vector<double> projected(static_cast<size_t>(points.count));
  for (int64_t n = 0; n < points.count; ++n) projected[n] = dot_product(points.row(n), direction.data(), points.dim);
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

double sliced_wasserstein(const FeatureSet& a, const FeatureSet& b, const MetricSettings& settings) {
  ITO_CHECK(a.dim == b.dim, "Wasserstein distance of points of ", a.dim, " and ", b.dim, " numbers");
  std::vector<double> distances(static_cast<size_t>(settings.projections));
  for_each_in_threads(0, settings.projections, settings.threads, [&](int64_t p) {
    const std::vector<double> direction = unit_direction(a.dim, settings.seed, static_cast<uint32_t>(p));
    distances[p] = wasserstein_1d(project(a, direction), project(b, direction));
    if (settings.progress) ++*settings.progress;
  });
  return std::accumulate(distances.begin(), distances.end(), 0.0) / settings.projections;
}

namespace {

int64_t work_of_sliced_wasserstein(const FeatureSet&, const FeatureSet&, const MetricSettings& settings) {
  return settings.projections;
}

MetricResult measure_sliced_wasserstein(const FeatureSet& samples, const FeatureSet& reference,
                                        const MetricSettings& settings) {
  return {{{"sliced_wasserstein", sliced_wasserstein(samples, reference, settings)}},
          {{"projections", settings.projections}, {"seed", settings.seed}}};
}

}  // namespace

extern const Metric kSlicedWasserstein;
const Metric kSlicedWasserstein = {"sliced-wasserstein", "mean over directions of the 1-D distance (Rabin et al. 2011)",
                                   1, work_of_sliced_wasserstein, measure_sliced_wasserstein};

}  // namespace ito
