// SPDX-License-Identifier: Apache-2.0
// One operator after another: H = H2 H1.
#pragma once
#include <memory>

#include "engine/inverse/measurement_operator.h"

namespace ito {

// inner sees the image, outer what inner measures. H+ is H1+ H2+ where inner's rows are orthogonal and of equal norm or
// outer is a rotation, else least squares by conjugate gradients. Singular values are inner's where outer is a
// rotation, those of the matrix (dense_spectrum.h) where images are small, else unknown.
std::unique_ptr<MeasurementOperator> compose(std::unique_ptr<MeasurementOperator> outer,
                                             std::unique_ptr<MeasurementOperator> inner);

}  // namespace ito
