// SPDX-License-Identifier: Apache-2.0
// Two numbers for a set of samples, without a pretrained network: which classes it holds by the nearest class mean, and
// how far its distribution is from the data's by the sliced Wasserstein distance (Rabin et al. 2011).
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

// The mean over `projections` random unit directions of the 1-D Wasserstein-1 distance between the projected sets:
// the exact integral of |F^-1 - G^-1| of the two empirical distributions. a (na, dim), b (nb, dim).
double sliced_wasserstein(const std::vector<float>& a, const std::vector<float>& b, int64_t dim, int projections,
                          uint64_t seed);

// W1 of two sorted sets of numbers.
double wasserstein_1d(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ito
