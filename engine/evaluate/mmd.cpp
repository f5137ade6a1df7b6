// SPDX-License-Identifier: Apache-2.0
// See mmd.h. Every point's sum is made by itself, in the order of the others, and then those in order.
#include "engine/evaluate/mmd.h"

#include <numeric>

#include "engine/evaluate/pairs.h"
#include "kernels/error.h"

namespace ito {

double unbiased_squared_mmd(const FeatureSet& x, const FeatureSet& y,
                            double (*pair)(const double*, const double*, int64_t),
                            const std::function<double(double)>& of_pair, const MetricSettings& settings) {
  ITO_CHECK(x.count > 1 && y.count > 1, "an unbiased MMD of ", x.count, " and ", y.count, " points");
  // The mean of k over the pairs of two sets, or, `within` one, over those of two different points.
  const auto mean = [&](const FeatureSet& a, const FeatureSet& b, bool within) {
    std::vector<double> sums(static_cast<size_t>(a.count));
    for_each_row_of_pairs(a, b, pair, settings.threads, settings.progress, [&](int64_t i, const double* row) {
      double sum = 0;
      for (int64_t j = 0; j < b.count; ++j)
        if (!within || j != i) sum += of_pair(row[j]);
      sums[i] = sum;
    });
    const double pairs = static_cast<double>(a.count) * static_cast<double>(within ? b.count - 1 : b.count);
    return std::accumulate(sums.begin(), sums.end(), 0.0) / pairs;
  };
  return mean(x, x, true) + mean(y, y, true) - 2 * mean(x, y, false);
}

int64_t mmd_work(const FeatureSet& x, const FeatureSet& y, const MetricSettings&) {
  return 2 * x.count + y.count;
}

}  // namespace ito
