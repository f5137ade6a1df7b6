// SPDX-License-Identifier: Apache-2.0
// Singular values and pseudo-inverse of an operator that is small, by writing its matrix out.
#pragma once
#include "engine/inverse/axis_matrix.h"
#include "engine/inverse/measurement_operator.h"

namespace ito {

inline constexpr int64_t kMostDenseNumbers = 1024;  // of an image: a V of 4 MiB, which every image is multiplied with

// V S^-1 U^T and V, made in double.
struct DenseFactors {
  AxisMap inverse;
  AxisSpectrum spectrum;
};

// Null unless op is linear and its images are small enough. Plans and prepares op for itself, so that it must come
// before whoever plans op to use it.
std::unique_ptr<DenseFactors> dense_factors(MeasurementOperator& op);

}  // namespace ito
