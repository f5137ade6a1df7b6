// SPDX-License-Identifier: Apache-2.0
// Resizing as networks want it that images are compared by; data sets are fitted by image.h's.
#pragma once
#include "engine/io/image.h"

namespace ito {

// By cubic convolution (Keys 1981, a = -1/2), as resize_bilinear otherwise: antialiased where it shrinks, rounded to 8
// bits after each axis, horizontal first.
Image resize_bicubic(const Image& image, int height, int width);

}  // namespace ito
