// SPDX-License-Identifier: Apache-2.0
// The Gaussian of a set of points, its covariance's factor, and the Frechet distance of two.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/evaluate/feature_set.h"

namespace ito {

struct Gaussian {
  int64_t dim = 0;
  std::vector<double> mean;        // (dim)
  std::vector<double> covariance;  // (dim, dim), symmetric
};

// Mean and covariance of the points, which are two at least, with n - 1 in its denominator; or those that the set has.
Gaussian gaussian_of(const FeatureSet& set, int threads, std::atomic<int64_t>* progress = nullptr);

// The factor of a positive semidefinite matrix S (dim, dim): rows l_k with S = sum_k l_k^T l_k, as a set of points, by
// Cholesky's method with the largest pivot first. Ends where no pivot is left that is larger than S's rounding errors,
// so that there are as many rows as the rank. UserError for a matrix that is not positive semidefinite.
FeatureSet factor_of(const std::vector<double>& s, int64_t dim);

// The sum of the singular values of a matrix whose rows are points, by one-sided Jacobi rotations (Hestenes 1958): rows
// are turned in pairs until all are orthogonal, and are then as long as the singular values.
// Calls swept() after every sweep over all pairs; ten to fourteen are usual, and nothing knows beforehand.
double nuclear_norm(
    FeatureSet points, int threads, const std::function<void()>& swept = [] {});

// |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)  (Dowson and Landau 1982), 0 at least.
// The last trace is the sum of the roots of the eigenvalues of S1^(1/2) S2 S1^(1/2), whatever root of S1 is taken. With
// the factors S_i = L_i L_i^T the matrix is L1^T L2 L2^T L1, so that the roots are the singular values of L1^T L2.
// Taken as such they have errors of a rounding of the largest one; as roots of eigenvalues those would be of its square
// root, 1e-8, in each of the directions that neither set has.
double frechet_distance(
    const Gaussian& a, const Gaussian& b, int threads, const std::function<void()>& swept = [] {});

}  // namespace ito
