// SPDX-License-Identifier: Apache-2.0
// Improved precision and recall (Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing
// Generative Models", equations 1 and 2): the part of the samples that lies in the reference's manifold, and the part
// of the reference that lies in the samples'. A set's manifold is the union of the balls around its points that reach
// to their k-th nearest neighbour, edges included.
#include <algorithm>
#include <numeric>

#include "engine/evaluate/neighbours.h"
#include "engine/evaluate/pairs.h"

namespace ito {
namespace {

constexpr const char* kName = "precision-recall";
constexpr int kUsualNeighbours = 3;

double part_inside(const FeatureSet& points, const FeatureSet& manifold, int k, const MetricSettings& settings) {
  const std::vector<double> radii = squared_radii(manifold, k, settings.threads, settings.progress);
  std::vector<int64_t> inside(static_cast<size_t>(points.count));
  for_each_row_of_pairs(points, manifold, squared_distance, settings.threads, settings.progress,
                        [&](int64_t i, const double* square) {
                          int64_t j = 0;
                          while (j < manifold.count && square[j] > radii[j]) ++j;
                          inside[i] = j < manifold.count;
                        });
  return static_cast<double>(std::accumulate(inside.begin(), inside.end(), int64_t{0})) /
         static_cast<double>(points.count);
}

int64_t work_of_precision_recall(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings&) {
  return 2 * (samples.count + reference.count);
}

MetricResult measure_precision_recall(const FeatureSet& samples, const FeatureSet& reference,
                                      const MetricSettings& settings) {
  const int k = neighbours_of(kName, settings, kUsualNeighbours, samples, reference);
  return {{{"precision", part_inside(samples, reference, k, settings)},
           {"recall", part_inside(reference, samples, k, settings)}},
          {{"neighbours", k}}};
}

}  // namespace

extern const Metric kPrecisionRecall;
const Metric kPrecisionRecall = {kName, "by the balls of k nearest neighbours, 3 (Kynkaanniemi et al. 2019)", 2,
                                 work_of_precision_recall, measure_precision_recall};

}  // namespace ito
