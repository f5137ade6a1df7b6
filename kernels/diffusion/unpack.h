// SPDX-License-Identifier: Apache-2.0
// A batch as the data set keeps it to the x0 that noising and the loss read, fp32 in [-1, 1], some of the images
// mirrored:
//   x0[n,y,x,c] = f(image[n, y, mirrored ? W-1-x : x, c]),  f(v) = v / 127.5 - 1 of bytes, v of floats
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

struct ImageRows {
  int height = 0, width = 0, channels = 0;
};

// x0, image (N, H, W, C). flips: half of the images are mirrored, by mirrors_image of the seed and the image's number
// in all of training.
void unpack_images(Stream& stream, float* x0, const uint8_t* image, bool flips, const SampleCounter& counter, int n,
                   const ImageRows& size);
void unpack_images(Stream& stream, float* x0, const float* image, bool flips, const SampleCounter& counter, int n,
                   const ImageRows& size);

}  // namespace ito
