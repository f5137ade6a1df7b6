// SPDX-License-Identifier: Apache-2.0
// See nearest_mean.h.
#include "engine/evaluate/nearest_mean.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ito {

NearestMeanClassifier::NearestMeanClassifier(const std::vector<float>& images, const std::vector<int32_t>& labels,
                                             int64_t dim, int classes)
    : dim_(dim), classes_(classes), means_(classes * dim, 0.0) {
  std::vector<int64_t> counts(classes, 0);
  for (size_t n = 0; n < labels.size(); ++n) {
    ITO_CHECK(labels[n] >= 0 && labels[n] < classes, "label ", labels[n], " outside 0 to ", classes - 1);
    ++counts[labels[n]];
    for (int64_t i = 0; i < dim; ++i) means_[labels[n] * dim + i] += images[n * dim + i];
  }
  for (int k = 0; k < classes; ++k)
    for (int64_t i = 0; i < dim; ++i) means_[k * dim + i] /= static_cast<double>(std::max<int64_t>(1, counts[k]));
}

int NearestMeanClassifier::classify(const float* image) const {
  int best = 0;
  double best_distance = INFINITY;
  for (int k = 0; k < classes_; ++k) {
    double distance = 0;
    for (int64_t i = 0; i < dim_; ++i) {
      const double difference = image[i] - means_[k * dim_ + i];
      distance += difference * difference;
    }
    if (distance < best_distance) {
      best = k;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace ito
