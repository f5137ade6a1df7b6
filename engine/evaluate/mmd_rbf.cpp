// SPDX-License-Identifier: Apache-2.0
// MMD^2 with a Gaussian kernel k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)), its bandwidth by the median heuristic
// (Gretton et al. 2012, section 8): the median distance of two points. Those of the reference alone, so that numbers of
// several sets of samples against one reference are of one kernel.
#include <algorithm>
#include <cmath>

#include "engine/evaluate/mmd.h"
#include "engine/evaluate/pairs.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int64_t kMostPoints = 4096;  // of the reference, its first, whose distances are sorted: 64 MiB of them

int64_t points_of_median(const FeatureSet& reference) {
  return std::min(reference.count, kMostPoints);
}

// Of an even number of distances the smaller of the two in the middle.
double median_distance(const FeatureSet& reference, const MetricSettings& settings) {
  FeatureSet first{points_of_median(reference), reference.dim, {}, {}, {}};
  first.values.assign(reference.values.begin(),
                      reference.values.begin() + static_cast<std::ptrdiff_t>(first.count * first.dim));
  const int64_t n = first.count;
  std::vector<double> squares(static_cast<size_t>(n * (n - 1) / 2));
  for_each_row_of_pairs(first, first, squared_distance, settings.threads, settings.progress,
                        [&](int64_t i, const double* row) {
                          std::copy(row, row + i, squares.begin() + static_cast<std::ptrdiff_t>(i * (i - 1) / 2));
                        });
  const auto middle = squares.begin() + static_cast<std::ptrdiff_t>((squares.size() - 1) / 2);
  std::nth_element(squares.begin(), middle, squares.end());
  return std::sqrt(*middle);
}

int64_t work_of_mmd_rbf(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  return mmd_work(samples, reference, settings) + points_of_median(reference);
}

MetricResult measure_mmd_rbf(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  const double bandwidth = median_distance(reference, settings);
  ITO_USER_CHECK(bandwidth > 0,
                 "mmd-rbf: half of the reference's pairs are equal, so the median distance is 0; "
                 "take other features or another kernel");
  const double factor = -0.5 / (bandwidth * bandwidth);
  const auto kernel = [factor](double square) { return std::exp(factor * square); };
  return {{{"mmd2_rbf", unbiased_squared_mmd(samples, reference, squared_distance, kernel, settings)}},
          {{"kernel", "exp(-|x - y|^2 / (2 bandwidth^2))"},
           {"estimator", "unbiased"},
           {"bandwidth", bandwidth},
           {"bandwidth_is", "the median distance of two points of the reference"},
           {"bandwidth_points", points_of_median(reference)}}};
}

}  // namespace

extern const Metric kMmdRbf;
const Metric kMmdRbf = {"mmd-rbf",
                        "squared MMD, unbiased, Gaussian kernel of the median distance (Gretton et al. 2012)", 2,
                        work_of_mmd_rbf, measure_mmd_rbf};

}  // namespace ito
