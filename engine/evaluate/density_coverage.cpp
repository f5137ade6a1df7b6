// SPDX-License-Identifier: Apache-2.0
// Density and coverage (Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equations 4
// and 5). With balls around the reference's N points that reach to their k-th nearest neighbour in the reference, edges
// included, and M samples:
//   density = (pairs of a sample and a ball that holds it) / (k M);  coverage = (balls that hold a sample) / N
#include <numeric>

#include "engine/evaluate/neighbours.h"
#include "engine/evaluate/pairs.h"

namespace ito {
namespace {

constexpr const char* kName = "density-coverage";
constexpr int kUsualNeighbours = 5;

int64_t work_of_density_coverage(const FeatureSet&, const FeatureSet& reference, const MetricSettings&) {
  return 2 * reference.count;
}

MetricResult measure_density_coverage(const FeatureSet& samples, const FeatureSet& reference,
                                      const MetricSettings& settings) {
  const int k = neighbours_of(kName, settings, kUsualNeighbours, samples, reference);
  const std::vector<double> radii = squared_radii(reference, k, settings.threads, settings.progress);
  std::vector<int64_t> held(radii.size());
  for_each_row_of_pairs(reference, samples, squared_distance, settings.threads, settings.progress,
                        [&](int64_t i, const double* square) {
                          for (int64_t j = 0; j < samples.count; ++j) held[i] += square[j] <= radii[i];
                        });
  const auto pairs = static_cast<double>(std::accumulate(held.begin(), held.end(), int64_t{0}));
  int64_t covered = 0;
  for (const int64_t count : held) covered += count > 0;
  return {{{"density", pairs / (static_cast<double>(k) * static_cast<double>(samples.count))},
           {"coverage", static_cast<double>(covered) / static_cast<double>(reference.count)}},
          {{"neighbours", k}}};
}

}  // namespace

extern const Metric kDensityCoverage;
const Metric kDensityCoverage = {kName, "by the balls of k nearest neighbours, 5 (Naeem et al. 2020)", 2,
                                 work_of_density_coverage, measure_density_coverage};

}  // namespace ito
