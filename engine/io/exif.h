// SPDX-License-Identifier: Apache-2.0
// The one thing that the pixels' meaning takes from EXIF data (JEITA CP-3451): how the camera was held.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ito {

// Tag Orientation of a TIFF header's first directory, 1 to 8; 1, which is upright, where the data does not say or is
// damaged: a photograph is none the worse for it.
int exif_orientation(const uint8_t* tiff, size_t bytes);

}  // namespace ito
