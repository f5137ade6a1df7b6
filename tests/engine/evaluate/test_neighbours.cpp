// SPDX-License-Identifier: Apache-2.0
// Precision, recall, density and coverage: on points whose balls are seen by eye, and against plain loops.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/evaluate/metric.h"
#include "engine/evaluate/pairs.h"
#include "tests/engine/evaluate/points.h"

namespace ito::test {
namespace {

std::vector<double> measured(const char* metric, const FeatureSet& samples, const FeatureSet& reference, int k) {
  MetricSettings settings;
  settings.neighbours = k;
  std::vector<double> values;
  for (const auto& [name, value] : metric_named(metric, "").measure(samples, reference, settings).values)
    values.push_back(value);
  return values;
}

// On a line, with k = 1. Reference 0, 1, 3, 10: radii 1, 1, 2, 7, so the balls are [-1, 1], [0, 2], [1, 5] and [3, 17].
// Samples -1, 0.5, 4, 20: radii 1.5, 1.5, 3.5, 16, so the balls are [-2.5, 0.5], [-1, 2], [0.5, 7.5] and [4, 36].
TEST(Neighbours, ByHand) {
  const FeatureSet reference = points(1, {0, 1, 3, 10}), samples = points(1, {-1, 0.5, 4, 20});
  EXPECT_EQ(squared_radii(reference, 1, 1, nullptr), (std::vector<double>{1, 1, 4, 49}));
  EXPECT_EQ(squared_radii(samples, 1, 1, nullptr), (std::vector<double>{2.25, 2.25, 12.25, 256}));
  // -1 (on an edge), 0.5 and 4 lie in the reference's balls, 20 does not; all of 0, 1, 3, 10 lie in the samples'.
  EXPECT_EQ(measured("precision-recall", samples, reference, 1), (std::vector<double>{0.75, 1}));
  EXPECT_EQ(measured("precision-recall", reference, samples, 1), (std::vector<double>{1, 0.75}));
  // -1 lies in one ball, 0.5 in two, 4 in two, 20 in none: 5 pairs of 4 samples. Every ball holds a sample.
  EXPECT_EQ(measured("density-coverage", samples, reference, 1), (std::vector<double>{1.25, 1}));
  // Of the samples' balls, as reference: 0 lies in two, 1 in two, 3 in one, 10 in one.
  EXPECT_EQ(measured("density-coverage", reference, samples, 1), (std::vector<double>{1.5, 1}));
}

// A mode that no sample has, and samples that lie in none.
TEST(Neighbours, SeeWhatIsMissing) {
  const FeatureSet both = points(1, {0, 1, 2, 3, 100, 101, 102, 103}), one = points(1, {0.5, 1.5, 2.5, 1.25});
  EXPECT_EQ(measured("precision-recall", one, both, 2), (std::vector<double>{1, 0.5}));
  EXPECT_EQ(measured("precision-recall", both, one, 2), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(measured("density-coverage", one, both, 2).at(1), 0.5);
  EXPECT_EQ(measured("density-coverage", points(1, {50, 51, 52}), both, 2), (std::vector<double>{0, 0}));
}

TEST(Neighbours, AgreeWithPlainLoops) {
  for (const int64_t dim : {1, 2, 8, 13})
    for (const int k : {1, 3, 5}) {
      const FeatureSet x = random_points(40, dim, 5, 0.4), y = random_points(29, dim, 6);
      const auto radius = [&](const FeatureSet& set, int64_t i) {
        std::vector<double> others;
        for (int64_t j = 0; j < set.count; ++j)
          if (j != i) others.push_back(plain_square(set.row(i), set.row(j), dim));
        std::sort(others.begin(), others.end());
        return others[k - 1];
      };
      const auto holds = [&](const FeatureSet& set, int64_t i, const double* point) {
        return plain_square(set.row(i), point, dim) <= radius(set, i);
      };
      const auto part_inside = [&](const FeatureSet& points, const FeatureSet& set) {
        int inside = 0;
        for (int64_t i = 0; i < points.count; ++i) {
          bool any = false;
          for (int64_t j = 0; j < set.count; ++j) any = any || holds(set, j, points.row(i));
          inside += any;
        }
        return inside / static_cast<double>(points.count);
      };
      int pairs = 0, covered = 0;
      for (int64_t i = 0; i < y.count; ++i) {
        int inside = 0;
        for (int64_t j = 0; j < x.count; ++j) inside += holds(y, i, x.row(j));
        pairs += inside;
        covered += inside > 0;
      }
      EXPECT_EQ(measured("precision-recall", x, y, k), (std::vector<double>{part_inside(x, y), part_inside(y, x)}));
      EXPECT_EQ(measured("density-coverage", x, y, k), (std::vector<double>{pairs / (k * 40.0), covered / 29.0}))
          << dim << " " << k;
    }
}

TEST(Neighbours, TheUsualNumberIsThePapers) {
  const FeatureSet x = random_points(40, 4, 5, 0.4), y = random_points(29, 4, 6);
  EXPECT_EQ(measured("precision-recall", x, y, 0), measured("precision-recall", x, y, 3));
  EXPECT_EQ(measured("density-coverage", x, y, 0), measured("density-coverage", x, y, 5));
  EXPECT_EQ(metric_named("precision-recall", "").measure(x, y, {}).parameters.at("neighbours"), 3);
  EXPECT_EQ(metric_named("density-coverage", "").measure(x, y, {}).parameters.at("neighbours"), 5);
}

}  // namespace
}  // namespace ito::test
