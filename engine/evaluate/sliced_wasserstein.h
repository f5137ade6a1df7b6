// SPDX-License-Identifier: Apache-2.0
// How far the distribution of a set of samples is from the data's, without a pretrained network: the sliced Wasserstein
// distance (Rabin et al. 2011).
#pragma once
#include <vector>

#include "engine/evaluate/metric.h"

namespace ito {

// The mean over `projections` random unit directions of the 1-D Wasserstein-1 distance between the projected sets:
// the exact integral of |F^-1 - G^-1| of the two empirical distributions.
double sliced_wasserstein(const FeatureSet& a, const FeatureSet& b, const MetricSettings& settings);

// W1 of two sorted sets of numbers.
double wasserstein_1d(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ito
