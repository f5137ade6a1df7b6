// SPDX-License-Identifier: Apache-2.0
// How near one image is to another, number by number and as eyes see it: PSNR and SSIM, in fp64. Images are (H, W, C)
// in [-1, 1], so that their range is 2.
//
// PSNR = 10 log10(2^2 / mean (a - b)^2) in dB; infinite for equal images.
//
// SSIM (Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
// IEEE Trans. Image Processing 13(4), 2004, eq. 13 and section III.C): with the means, variances and the covariance of
// a window that slides over both images, weighted by a Gaussian of 11 x 11 pixels and standard deviation 1.5,
//   (2 m_a m_b + c1) (2 s_ab + c2) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2)),  c1 = (0.01 2)^2, c2 = (0.03 2)^2,
// its mean over the places where the whole window lies in the image, and over the channels. Along an axis that is
// shorter than 11 the window has the largest odd number of pixels that fits.
#pragma once
#include <cstdint>

#include "engine/io/layout.h"

namespace ito {

double psnr(const float* a, const float* b, int64_t count);
double ssim(const float* a, const float* b, const ImageShape& image);

}  // namespace ito
