// SPDX-License-Identifier: Apache-2.0
// All pairs of two sets of points, from several threads: what kernels, neighbours and covariances are made of.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/evaluate/feature_set.h"

namespace ito {

// Sums over n numbers in an order that depends on n alone: eight sums side by side, which vectorise, then those.
double dot_product(const double* x, const double* y, int64_t n);
double squared_distance(const double* x, const double* y, int64_t n);

// Calls use(i, pair) for every point i of a, with pair[j] = of(a_i, b_j, dim) for every point j of b. What use(i)
// writes must be i's own. Counts a's points in `progress`, unless that is null.
void for_each_row_of_pairs(const FeatureSet& a, const FeatureSet& b,
                           double (*of)(const double*, const double*, int64_t), int threads,
                           std::atomic<int64_t>* progress, const std::function<void(int64_t i, double* pair)>& use);

// The squared distance of every point to its k-th nearest neighbour in the set, itself not counted.
std::vector<double> squared_radii(const FeatureSet& set, int k, int threads, std::atomic<int64_t>* progress);

}  // namespace ito
