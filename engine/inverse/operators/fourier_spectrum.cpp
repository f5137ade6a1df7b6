// SPDX-License-Identifier: Apache-2.0
// See fourier_spectrum.h.
#include "engine/inverse/operators/fourier_spectrum.h"

namespace ito {

FourierSpectrum::FourierSpectrum(const ImageShape& image, const std::vector<double>& of_frequencies)
    : transform_(image) {
  std::vector<double> of_coordinates;
  for (const double value : of_frequencies)
    of_coordinates.insert(of_coordinates.end(), static_cast<size_t>(image.channels), value);
  set_values(of_coordinates);
}

void check_fourier_sides(const std::string& text, int height, int width) {
  ITO_USER_CHECK(height <= kMostFourierLength && width <= kMostFourierLength, text, ": transforms ", height, " x ",
                 width, " pixels; expected sides of at most ", kMostFourierLength);
}

}  // namespace ito
