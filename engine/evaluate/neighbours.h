// SPDX-License-Identifier: Apache-2.0
// What the metrics of nearest neighbours share: how many neighbours, and the work of it.
#pragma once
#include "engine/evaluate/metric.h"

namespace ito {

// settings.neighbours, or `usual` where that is 0. UserError unless both sets have more points than that.
int neighbours_of(const char* metric, const MetricSettings& settings, int usual, const FeatureSet& samples,
                  const FeatureSet& reference);

}  // namespace ito
