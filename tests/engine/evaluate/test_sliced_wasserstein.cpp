// SPDX-License-Identifier: Apache-2.0
// The Wasserstein distances against other ways to the same number.
#include "engine/evaluate/sliced_wasserstein.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

std::vector<double> random_sorted(size_t count, uint64_t seed) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = 10.0 * uniform01(philox4x32(seed, static_cast<uint32_t>(i), 0, 0, 0).v[0]) - 5.0;
  std::sort(values.begin(), values.end());
  return values;
}

// Repeats every value until both sets have as many, where W1 is the mean distance of equal ranks.
double by_repetition(const std::vector<double>& a, const std::vector<double>& b) {
  const size_t count = std::lcm(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::fabs(a[i * a.size() / count] - b[i * b.size() / count]);
  return sum / static_cast<double>(count);
}

// W1 is also the area between the two distribution functions.
double by_distribution_functions(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> points(a);
  points.insert(points.end(), b.begin(), b.end());
  std::sort(points.begin(), points.end());
  const auto below = [](const std::vector<double>& values, double x) {
    const auto count = std::upper_bound(values.begin(), values.end(), x) - values.begin();
    return static_cast<double>(count) / static_cast<double>(values.size());
  };
  double area = 0;
  for (size_t i = 0; i + 1 < points.size(); ++i)
    area += (points[i + 1] - points[i]) * std::fabs(below(a, points[i]) - below(b, points[i]));
  return area;
}

TEST(SlicedWasserstein, Wasserstein1dOfHandCases) {
  EXPECT_DOUBLE_EQ(wasserstein_1d({0}, {3}), 3);
  EXPECT_DOUBLE_EQ(wasserstein_1d({0, 1}, {0, 1}), 0);
  EXPECT_DOUBLE_EQ(wasserstein_1d({0, 1, 3}, {5, 6, 8}), 5);
  EXPECT_DOUBLE_EQ(wasserstein_1d({0, 2}, {1}), 1);
  EXPECT_DOUBLE_EQ(wasserstein_1d({0, 0, 0, 4}, {0}), 1);            // a quarter of the mass goes 4 far
  EXPECT_NEAR(wasserstein_1d({0, 1}, {0, 0, 3}), 5.0 / 6.0, 1e-15);  // 1/6 goes 1 far, 1/3 goes 2 far
  EXPECT_THROW(wasserstein_1d({}, {1}), Error);
  EXPECT_THROW(wasserstein_1d({1}, {}), Error);
}

TEST(SlicedWasserstein, Wasserstein1dAgreesWithTwoOtherWays) {
  for (const auto& [na, nb] :
       {std::pair<size_t, size_t>{1, 1}, {7, 7}, {64, 64}, {1, 9}, {6, 4}, {12, 18}, {13, 29}, {100, 37}, {49, 50}}) {
    const std::vector<double> a = random_sorted(na, 1), b = random_sorted(nb, 2);
    const double distance = wasserstein_1d(a, b);
    // Sums of at most some thousand terms of size 10 in fp64.
    EXPECT_NEAR(distance, by_repetition(a, b), 1e-12) << na << " and " << nb;
    EXPECT_NEAR(distance, by_distribution_functions(a, b), 1e-12) << na << " and " << nb;
    EXPECT_NEAR(distance, wasserstein_1d(b, a), 1e-12) << na << " and " << nb;
    EXPECT_GT(distance, 0) << na << " and " << nb;
  }
}

// Whole numbers, so that translations of them are exact.
FeatureSet random_points(int64_t count, int64_t dim, uint64_t seed) {
  FeatureSet points{count, dim, std::vector<double>(static_cast<size_t>(count * dim)), {}, {}};
  for (size_t i = 0; i < points.values.size(); ++i)
    points.values[i] = philox4x32(seed, static_cast<uint32_t>(i), 0, 0, 0).v[0] % 64;
  return points;
}

FeatureSet translated(FeatureSet points, const std::vector<double>& by, double factor) {
  for (size_t i = 0; i < points.values.size(); ++i) points.values[i] += factor * by[i % by.size()];
  return points;
}

double sliced(const FeatureSet& a, const FeatureSet& b, int projections, uint64_t seed) {
  return sliced_wasserstein(a, b, {.projections = projections, .seed = seed});
}

TEST(SlicedWasserstein, SlicedDistanceOfEqualSetsIsZero) {
  const FeatureSet points = random_points(20, 5, 3);
  EXPECT_EQ(sliced(points, points, 50, 1), 0);
  FeatureSet reversed = points;  // the same points in another order
  for (int64_t i = 0; i < 20; ++i) std::copy(points.row(i), points.row(i) + 5, &reversed.values[(19 - i) * 5]);
  EXPECT_EQ(sliced(points, reversed, 50, 1), 0);
  FeatureSet twice = points;  // the same distribution with twice the points
  twice.count *= 2;
  twice.values.insert(twice.values.end(), points.values.begin(), points.values.end());
  EXPECT_NEAR(sliced(points, twice, 50, 1), 0, 1e-12);
}

TEST(SlicedWasserstein, SlicedDistanceOfATranslation) {
  // On a line every direction is +-1, so the distance is the length of the translation.
  EXPECT_NEAR(sliced(random_points(11, 1, 4), translated(random_points(11, 1, 4), {-7}, 1), 3, 5), 7, 1e-12);
  // In three dimensions |v . direction| / |v| is uniform in [0, 1] (Archimedes): mean 1/2, and over 2000 directions a
  // standard error of sqrt(1/12/2000) = 0.0065; the bound is five of them.
  const std::vector<double> v{3, -4, 12};  // of length 13
  const FeatureSet points = random_points(17, 3, 6);
  const double once = sliced(points, translated(points, v, 1), 2000, 7);
  EXPECT_NEAR(once / 13, 0.5, 0.033);
  EXPECT_NEAR(sliced(points, translated(points, v, 3), 2000, 7), 3 * once, 1e-10);
  EXPECT_NEAR(sliced(translated(points, v, 2), translated(points, v, 3), 2000, 7), once, 1e-10);
  EXPECT_NE(sliced(points, translated(points, v, 1), 2000, 8), once);  // other directions
}

}  // namespace
}  // namespace ito
