// SPDX-License-Identifier: Apache-2.0
// How far the distribution of a set of samples is from the data's, without a pretrained network: the sliced Wasserstein
// distance (Rabin et al. 2011).
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

// The mean over `projections` random unit directions of the 1-D Wasserstein-1 distance between the projected sets:
// the exact integral of |F^-1 - G^-1| of the two empirical distributions. a (na, dim), b (nb, dim).
double sliced_wasserstein(const std::vector<float>& a, const std::vector<float>& b, int64_t dim, int projections,
                          uint64_t seed);

// W1 of two sorted sets of numbers.
double wasserstein_1d(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ito
