// SPDX-License-Identifier: Apache-2.0
// Kernels of blurs, in double on the host.
#pragma once
#include <complex>
#include <string>
#include <vector>

#include "engine/io/layout.h"

namespace ito {

struct BlurKernel {
  int rows = 0, columns = 0;
  std::vector<double> taps;  // (rows, columns); the centre tap is (rows / 2, columns / 2)
};

// exp(-d^2 / (2 sd^2)) at distances d from the centre, at most `rows` and `columns` taps, of sum 1.
BlurKernel gaussian_kernel(double sd, int rows, int columns);
// A segment `length` pixels long about the centre, `degrees` counter-clockwise from the rows' direction: a point each
// hundredth of a pixel, shared out between the four pixels about it. Sum 1.
BlurKernel motion_kernel(double length, double degrees);
BlurKernel uniform_kernel(int side);
// Tensor `kernel` of a file, as it is. UserError beginning with `text`.
BlurKernel kernel_of_file(const std::string& text, const std::string& path);

// What the kernel multiplies each frequency by, (H, W), the zero frequency first: sum_ij k_ij exp(-2 pi i ...), the
// centre tap at pixel (0, 0), so that F^-1 (this . F x) is x convolved with k over a periodic border.
std::vector<std::complex<double>> transfer_of(const BlurKernel& kernel, const ImageShape& image);

}  // namespace ito
