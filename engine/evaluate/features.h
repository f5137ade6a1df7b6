// SPDX-License-Identifier: Apache-2.0
// Features from images, and those that a user brings from another program in a file.
#pragma once
#include <string>
#include <vector>

#include "engine/evaluate/feature_set.h"

namespace ito {

// Pixels as they are: images (N, dim).
FeatureSet pixel_features(const std::vector<float>& images, int64_t dim);

// Whether a file holds features or their statistics, and no images: .npz with `arr_0` of two dimensions, with
// `features`, or with neither beside `mu`; safetensors with `features` and no `samples`.
bool holds_features(const std::string& path);

// `features` or `arr_0` (N, D), floats; or else, of .npz, `mu` (D) and `sigma` (D, D), the mean and the covariance.
// UserError, in one line, for numbers that are not finite, shapes that do not agree, and a matrix that is no
// covariance.
FeatureSet read_features(const std::string& path);

}  // namespace ito
