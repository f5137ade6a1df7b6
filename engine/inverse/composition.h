// SPDX-License-Identifier: Apache-2.0
// One operator after another: H = H2 H1.
#pragma once
#include <memory>

#include "engine/inverse/measurement_operator.h"

namespace ito {

// inner sees the image, outer what inner measures. UserError where two that are not linear would have no derivative.
std::unique_ptr<MeasurementOperator> compose(std::unique_ptr<MeasurementOperator> outer,
                                             std::unique_ptr<MeasurementOperator> inner);

}  // namespace ito
