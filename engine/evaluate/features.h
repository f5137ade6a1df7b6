// SPDX-License-Identifier: Apache-2.0
// Features from images, and those that a user brings from another program in an .npz file.
#pragma once
#include <string>
#include <vector>

#include "engine/evaluate/feature_set.h"
#include "engine/io/npz.h"

namespace ito {

// Pixels as they are: images (N, dim).
FeatureSet pixel_features(const std::vector<float>& images, int64_t dim);

// Whether a file holds features or their statistics, and no images: `arr_0` of two dimensions, or none beside `mu`.
bool holds_features(const NpzFile& file);

// `arr_0` (N, D), floats; or else `mu` (D) and `sigma` (D, D), the mean and the covariance. UserError, in one line, for
// numbers that are not finite, shapes that do not agree, and a matrix that is no covariance.
FeatureSet read_features(const NpzFile& file);

}  // namespace ito
