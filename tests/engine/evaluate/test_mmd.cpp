// SPDX-License-Identifier: Apache-2.0
// The squared MMD against plain loops, and on sets where it is known by hand.
#include "engine/evaluate/mmd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/engine/evaluate/points.h"

namespace ito::test {
namespace {

using Kernel = std::function<double(const double*, const double*)>;

double plain_mmd(const FeatureSet& x, const FeatureSet& y, const Kernel& k) {
  double xx = 0, yy = 0, xy = 0;
  for (int64_t i = 0; i < x.count; ++i)
    for (int64_t j = 0; j < x.count; ++j) xx += i == j ? 0 : k(x.row(i), x.row(j));
  for (int64_t i = 0; i < y.count; ++i)
    for (int64_t j = 0; j < y.count; ++j) yy += i == j ? 0 : k(y.row(i), y.row(j));
  for (int64_t i = 0; i < x.count; ++i)
    for (int64_t j = 0; j < y.count; ++j) xy += k(x.row(i), y.row(j));
  const auto m = static_cast<double>(x.count), n = static_cast<double>(y.count);
  return xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n);
}

Kernel polynomial(int64_t dim) {
  return [dim](const double* x, const double* y) {
    double product = 0;
    for (int64_t d = 0; d < dim; ++d) product += x[d] * y[d];
    return std::pow(product / static_cast<double>(dim) + 1, 3);
  };
}

Kernel gaussian(int64_t dim, double bandwidth) {
  return [=](const double* x, const double* y) {
    return std::exp(-plain_square(x, y, dim) / (2 * bandwidth * bandwidth));
  };
}

double plain_median(const FeatureSet& set) {
  std::vector<double> distances;
  for (int64_t i = 0; i < set.count; ++i)
    for (int64_t j = 0; j < i; ++j) distances.push_back(std::sqrt(plain_square(set.row(i), set.row(j), set.dim)));
  std::sort(distances.begin(), distances.end());
  return distances[(distances.size() - 1) / 2];
}

double measured(const char* metric, const FeatureSet& x, const FeatureSet& y) {
  return metric_named(metric, "").measure(x, y, {}).values.at(0).second;
}

// Sums of up to 41 x 64 kernels of size 1 to 8 in fp64.
TEST(Mmd, AgreesWithPlainLoops) {
  for (const int64_t dim : {1, 3, 8, 19})
    for (const auto& [m, n] : {std::pair<int64_t, int64_t>{2, 2}, {2, 9}, {16, 8}, {41, 64}}) {
      const FeatureSet x = random_points(m, dim, 1, 0.5), y = random_points(n, dim, 2);
      EXPECT_NEAR(measured("mmd-polynomial", x, y), plain_mmd(x, y, polynomial(dim)), 1e-12) << dim << " " << m;
      EXPECT_NEAR(measured("mmd-rbf", x, y), plain_mmd(x, y, gaussian(dim, plain_median(y))), 1e-12) << dim << " " << m;
    }
}

// Of a set and itself every mean of pairs is of the same kernels, but that one lacks the n pairs of a point with
// itself: 2 S / (n (n-1)) - 2 (S + n) / n^2 with S the sum over different points, where k(x, x) = 1.
TEST(Mmd, OfEqualSets) {
  const FeatureSet x = random_points(23, 4, 3);
  const Kernel k = gaussian(4, plain_median(x));
  double sum = 0;
  for (int64_t i = 0; i < x.count; ++i)
    for (int64_t j = 0; j < x.count; ++j) sum += i == j ? 0 : k(x.row(i), x.row(j));
  const auto n = static_cast<double>(x.count);
  const double expected = 2 * sum / (n * (n - 1)) - 2 * (sum + n) / (n * n);
  EXPECT_NEAR(measured("mmd-rbf", x, x), expected, 1e-14);
  EXPECT_LT(expected, 0);
}

// A block that takes both sets whole is mmd-polynomial; else blocks are parts of the sets, without a point twice, so
// that every estimate, and the mean, is of the same kind: over 400 blocks within five standard errors of the whole
// sets'.
TEST(Mmd, KidIsItsMeanOverBlocks) {
  const FeatureSet x = random_points(41, 3, 1, 0.5), y = random_points(30, 3, 2);
  const double whole = measured("mmd-polynomial", x, y);
  EXPECT_EQ(measured("kid", x, y), whole);
  MetricSettings settings;
  settings.blocks = 400;
  settings.block_points = 10;
  const Metric& kid = metric_named("kid", "");
  const MetricResult result = kid.measure(x, y, settings);
  const double deviation = result.parameters.at("standard_deviation_of_blocks");
  EXPECT_GT(deviation, 0.01);
  EXPECT_NEAR(result.values.at(0).second, whole, 5 * deviation / std::sqrt(400));
  EXPECT_EQ(kid.measure(x, y, settings).values, result.values);
  settings.seed = 1;
  EXPECT_NE(kid.measure(x, y, settings).values, result.values);
  // Of a block that held the far point twice the estimate would be some 10^16; every other pair's kernel is 1.
  settings.block_points = 9;
  const FeatureSet far = points(1, {0, 0, 0, 1000, 0, 0, 0, 0, 0, 0}), near = points(1, std::vector<double>(10, 0.0));
  EXPECT_EQ(kid.measure(far, near, settings).values.at(0).second, 0);
}

// Points 0 and 2 against 0 and 1 in one dimension: k(x, y) = (x y + 1)^3 gives 1, 1 and (1 + 1 + 1 + 27) / 4.
TEST(Mmd, ByHand) {
  EXPECT_DOUBLE_EQ(measured("mmd-polynomial", points(1, {0, 2}), points(1, {0, 1})), 1 + 1 - 2 * 30.0 / 4);
  // The one distance of the reference is 1, so the kernel of a distance d is exp(-d^2 / 2).
  const double e1 = std::exp(-0.5), e4 = std::exp(-2.0);
  EXPECT_DOUBLE_EQ(measured("mmd-rbf", points(1, {0, 2}), points(1, {0, 1})), e4 + e1 - 2 * (1 + e1 + e4 + e1) / 4);
}

// The mean of unbiased estimates is the true value, 0 for one distribution: over 200 pairs of sets the mean is within
// five of its standard errors.
TEST(Mmd, IsUnbiased) {
  for (const char* metric : {"mmd-polynomial", "mmd-rbf"}) {
    constexpr int kRuns = 200;
    double sum = 0, squares = 0;
    for (uint64_t run = 0; run < kRuns; ++run) {
      const double value = measured(metric, random_points(12, 3, 2 * run + 10), random_points(15, 3, 2 * run + 11));
      sum += value;
      squares += value * value;
    }
    const double mean = sum / kRuns, error = std::sqrt((squares / kRuns - mean * mean) / kRuns);
    EXPECT_LT(std::fabs(mean), 5 * error) << metric;
    EXPECT_GT(measured(metric, random_points(200, 3, 1, 0.5), random_points(200, 3, 2)), 20 * error) << metric;
  }
}

}  // namespace
}  // namespace ito::test
