// SPDX-License-Identifier: Apache-2.0
// See neighbours.h.
#include "engine/evaluate/neighbours.h"

#include <algorithm>

#include "kernels/error.h"

namespace ito {

int neighbours_of(const char* metric, const MetricSettings& settings, int usual, const FeatureSet& samples,
                  const FeatureSet& reference) {
  const int k = settings.neighbours ? settings.neighbours : usual;
  const int64_t fewest = std::min(samples.count, reference.count);
  ITO_USER_CHECK(k < fewest, metric, ": asks for neighbour ", k, " of a point, and the smaller set has ", fewest,
                 " points; give more of them or fewer neighbours");
  return k;
}

}  // namespace ito
