// SPDX-License-Identifier: Apache-2.0
// The squared maximum mean discrepancy of a kernel k (Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3),
// unbiased: its expectation is 0 where both sets have one distribution, so it may come out below 0.
//   MMD^2 = sum_{i != j} k(x_i, x_j) / (m (m-1)) + sum_{i != j} k(y_i, y_j) / (n (n-1)) - 2 sum_{i, j} k(x_i, y_j) / (m
//   n)
#pragma once
#include <functional>

#include "engine/evaluate/metric.h"

namespace ito {

// k(x, y) = of_pair(pair(x, y)) with pair dot_product or squared_distance. x (m), y (n): two points each at least.
double unbiased_squared_mmd(const FeatureSet& x, const FeatureSet& y,
                            double (*pair)(const double*, const double*, int64_t),
                            const std::function<double(double)>& of_pair, const MetricSettings& settings);

// Metric::work of that.
int64_t mmd_work(const FeatureSet& x, const FeatureSet& y, const MetricSettings& settings);

}  // namespace ito
