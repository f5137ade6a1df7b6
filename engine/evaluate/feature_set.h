// SPDX-License-Identifier: Apache-2.0
// What metrics compare: a point of `dim` numbers an image. The numbers are pixels, what a classifier makes of them, or
// a user's own; of the last, the mean and the covariance may be all that is known.
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

struct FeatureSet {
  int64_t count = 0, dim = 0;
  std::vector<double> values;      // (count, dim), one row after another; empty where only statistics are known
  std::vector<double> mean;        // (dim), and
  std::vector<double> covariance;  // (dim, dim): only where there are no values

  bool is_statistics() const { return values.empty(); }
  const double* row(int64_t i) const { return values.data() + i * dim; }
};

}  // namespace ito
