// SPDX-License-Identifier: Apache-2.0
// Singular values that stand at the pixels themselves.
#pragma once
#include "engine/inverse/measurement_operator.h"

namespace ito {

class PixelSpectrum : public Spectrum {
 public:
  explicit PixelSpectrum(const std::vector<double>& of_pixels) { set_values(of_pixels); }
  void to_basis(Stream& stream, float* v, const float* x, int n) override { copy(stream, v, x, n); }
  void from_basis(Stream& stream, float* x, const float* v, int n) override { copy(stream, x, v, n); }
  bool is_pixel_basis() const override { return true; }

 private:
  void copy(Stream& stream, float* to, const float* from, int n) const {
    if (to != from) copy_on_device(stream, to, from, sizeof(float) * static_cast<size_t>(n) * value_of().size());
  }
};

}  // namespace ito
