// SPDX-License-Identifier: Apache-2.0
// A metric: numbers that say how far a set of samples is from a set of reference images, both as features. A metric is
// one file beside this one, which defines a Metric, and its name in the list of metric.cpp. Everything is fp64; the
// order of every sum is a function of the sets alone, so that results do not depend on the number of threads.
#pragma once
#include <atomic>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/evaluate/feature_set.h"
#include "engine/io/json_file.h"

namespace ito {

struct MetricSettings {
  int threads = 1;
  int projections = 500;                     // directions of the sliced Wasserstein distance
  uint64_t seed = 0;                         // of those, and of the blocks
  int blocks = 100;                          // that KID is the mean of
  int64_t block_points = 1000;               // of each set, in a block
  int neighbours = 0;                        // k of what asks for nearest neighbours; 0: as the metric's paper has it
  std::atomic<int64_t>* progress = nullptr;  // counts up to Metric::work, for whoever watches
};

struct MetricResult {
  std::vector<std::pair<std::string, double>> values;  // by name, as reports have them
  Json parameters = Json::object();                    // what the numbers depend on besides the sets
};

struct Metric {
  const char* name;     // as it is asked for
  const char* summary;  // for help: what it is, with its source
  int64_t least;        // points that each set must have; 0: statistics alone are enough
  // What `progress` comes to, in points.
  int64_t (*work)(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings);
  // UserError if the sets do not allow it.
  MetricResult (*measure)(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings);
};

const std::vector<const Metric*>& metrics();  // all that there are
// UserError that begins with `where` and lists the names, for another.
const Metric& metric_named(std::string_view name, const std::string& where);

// UserError unless the metric can be taken of these sets: one number of features, points enough.
void check_measurable(const Metric& metric, const FeatureSet& samples, const FeatureSet& reference);

}  // namespace ito
