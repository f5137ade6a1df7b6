// SPDX-License-Identifier: Apache-2.0
// Which classes a set of samples holds, without a pretrained network: an image is of the class whose mean image is
// nearest.
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

class NearestMeanClassifier {
 public:
  // images (count, dim), labels (count) in [0, classes).
  NearestMeanClassifier(const std::vector<float>& images, const std::vector<int32_t>& labels, int64_t dim, int classes);
  int classify(const float* image) const;

 private:
  int64_t dim_;
  int classes_;
  std::vector<double> means_;  // (classes, dim)
};

}  // namespace ito
