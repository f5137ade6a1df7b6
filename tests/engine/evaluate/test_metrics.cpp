// SPDX-License-Identifier: Apache-2.0
// What holds for every metric of the list: its results know neither the threads nor the order of the points, and say
// what they depend on.
#include <set>

#include "engine/evaluate/metric.h"
#include "tests/engine/evaluate/points.h"
#include "tests/engine/user_error.h"

#include <gtest/gtest.h>

namespace ito::test {
namespace {

MetricSettings with_threads(int threads) {
  MetricSettings settings;
  settings.threads = threads;
  settings.projections = 20;
  return settings;
}

TEST(Metrics, DoNotKnowTheNumberOfThreads) {
  const FeatureSet samples = random_points(37, 11, 1, 0.3), reference = random_points(53, 11, 2);
  for (const Metric* metric : metrics()) {
    const MetricResult one = metric->measure(samples, reference, with_threads(1));
    for (const int threads : {2, 3, 8}) {
      const MetricResult many = metric->measure(samples, reference, with_threads(threads));
      EXPECT_EQ(many.values, one.values) << metric->name;  // bit for bit
      EXPECT_EQ(many.parameters, one.parameters) << metric->name;
    }
  }
}

// The points' sums are made in another order: some hundred terms of size 1, added in fp64.
TEST(Metrics, DoNotKnowTheOrderOfThePoints) {
  const FeatureSet samples = random_points(37, 11, 1, 0.3), reference = random_points(53, 11, 2);
  for (const Metric* metric : metrics()) {
    const MetricResult one = metric->measure(samples, reference, with_threads(1));
    const MetricResult other = metric->measure(reversed(samples), reversed(reference), with_threads(1));
    for (size_t v = 0; v < one.values.size(); ++v) {
      EXPECT_NEAR(other.values[v].second, one.values[v].second, 1e-12) << one.values[v].first;
      EXPECT_GT(std::fabs(one.values[v].second), 1e-3) << one.values[v].first;
    }
  }
}

TEST(Metrics, CountTheirWork) {
  const FeatureSet samples = random_points(21, 3, 1), reference = random_points(30, 3, 2);
  for (const Metric* metric : metrics()) {
    std::atomic<int64_t> done{0};
    MetricSettings settings = with_threads(2);
    settings.progress = &done;
    metric->measure(samples, reference, settings);
    EXPECT_EQ(done, metric->work(samples, reference, settings)) << metric->name;
    EXPECT_GT(done, 0) << metric->name;
  }
}

TEST(Metrics, HaveNamesOfTheirOwn) {
  std::set<std::string> names, values;
  const FeatureSet set = random_points(9, 2, 1);
  for (const Metric* metric : metrics()) {
    EXPECT_TRUE(names.insert(metric->name).second) << metric->name;
    EXPECT_EQ(&metric_named(metric->name, "metrics"), metric);
    for (const auto& [name, value] : metric->measure(set, set, with_threads(1)).values)
      EXPECT_TRUE(values.insert(name).second) << name;
  }
  EXPECT_EQ(
      user_error([] { metric_named("frechett", "metrics"); }),
      "metrics: no metric is called 'frechett'; use all, or some of sliced-wasserstein, frechet, mmd-polynomial, kid, "
      "mmd-rbf, precision-recall, density-coverage; did you mean 'frechet'?");
}

TEST(Metrics, RefuseWhatTheyCannotMeasure) {
  const FeatureSet two = random_points(9, 2, 1), three = random_points(9, 3, 1), one = random_points(1, 2, 1);
  const FeatureSet statistics{0, 2, {}, {0, 0}, {1, 0, 0, 1}};
  for (const Metric* metric : metrics()) {
    const std::string name = metric->name;
    EXPECT_EQ(user_error([&] { check_measurable(*metric, two, three); }),
              name + ": the samples have 2 features, the reference 3; expected features of one kind");
    const std::string of_statistics = user_error([&] { check_measurable(*metric, two, statistics); });
    EXPECT_EQ(of_statistics, name == "frechet" ? ""
                                               : name +
                                                     ": the reference are a mean and a covariance alone; it needs "
                                                     "the features themselves");
    EXPECT_EQ(user_error([&] { check_measurable(*metric, two, two); }), "");
    if (metric->least > 1) {
      EXPECT_EQ(user_error([&] { check_measurable(*metric, one, two); }),
                name + ": there are 1 samples; expected at least 2");
    }
  }
  MetricSettings settings = with_threads(1);
  settings.neighbours = 9;
  for (const char* name : {"precision-recall", "density-coverage"})
    EXPECT_EQ(user_error([&] { metric_named(name, "").measure(two, two, settings); }),
              std::string(name) +
                  ": asks for neighbour 9 of a point, and the smaller set has 9 points; give more of "
                  "them or fewer neighbours");
  EXPECT_EQ(user_error([&] { metric_named("frechet", "").measure(one, two, settings); }),
            "frechet: a covariance needs two points at least; there is 1");
  const FeatureSet equal = points(1, {1, 1, 1, 1});
  EXPECT_EQ(user_error([&] { metric_named("mmd-rbf", "").measure(equal, equal, settings); }),
            "mmd-rbf: half of the reference's pairs are equal, so the median distance is 0; take other features or "
            "another kernel");
}

}  // namespace
}  // namespace ito::test
