// SPDX-License-Identifier: Apache-2.0
// The list of metrics.
#include "engine/evaluate/metric.h"

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

extern const Metric kSlicedWasserstein;
extern const Metric kFrechet;
extern const Metric kMmdPolynomial;
extern const Metric kKid;
extern const Metric kMmdRbf;
extern const Metric kPrecisionRecall;
extern const Metric kDensityCoverage;

const std::vector<const Metric*>& metrics() {
  static const std::vector<const Metric*> all{&kSlicedWasserstein, &kFrechet,        &kMmdPolynomial, &kKid, &kMmdRbf,
                                              &kPrecisionRecall,   &kDensityCoverage};
  return all;
}

const Metric& metric_named(std::string_view name, const std::string& where) {
  std::string known;
  std::vector<std::string> names;
  for (const Metric* metric : metrics()) {
    if (name == metric->name) return *metric;
    known += (known.empty() ? "" : ", ") + std::string(metric->name);
    names.emplace_back(metric->name);
  }
  fail<UserError>(where, ": no metric is called ", quote_name(name), "; use all, or some of ", known,
                  did_you_mean(name, names));
}

void check_measurable(const Metric& metric, const FeatureSet& samples, const FeatureSet& reference) {
  ITO_USER_CHECK(samples.dim == reference.dim, metric.name, ": the samples have ", samples.dim,
                 " features, the reference ", reference.dim, "; expected features of one kind");
  if (metric.least == 0) return;
  for (const auto& [set, what] : {std::pair(&samples, "samples"), std::pair(&reference, "reference")}) {
    ITO_USER_CHECK(!set->is_statistics(), metric.name, ": the ", what,
                   " are a mean and a covariance alone; it needs the features themselves");
    ITO_USER_CHECK(set->count >= metric.least, metric.name, ": there are ", set->count, " ", what,
                   "; expected at least ", metric.least);
  }
}

}  // namespace ito
