// SPDX-License-Identifier: Apache-2.0
// Whether the numbers of a data set can be what they are taken for.
#pragma once

#include "engine/data/dataset.h"

namespace ito {

// Bytes are 0 (black) to 255 (white), floats -1 to 1. Warns where the values of all images together do not look it;
// UserError for images of floats from 0 to far above 1, which were never scaled.
void check_value_range(const Dataset& data);

}  // namespace ito
