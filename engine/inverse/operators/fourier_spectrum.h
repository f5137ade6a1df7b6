// SPDX-License-Identifier: Apache-2.0
// Singular values that stand at frequencies. V is the Hartley transform, real and orthogonal: what multiplies a
// spectrum by a real and even function of the frequency multiplies these coordinates by the same numbers.
#pragma once
#include "engine/inverse/operators/fourier_transform.h"

namespace ito {

class FourierSpectrum : public Spectrum {
 public:
  // of_frequencies (H, W): even, the zero frequency first, of all channels alike.
  FourierSpectrum(const ImageShape& image, const std::vector<double>& of_frequencies);
  void plan(int batch, BufferList& buffers) override { transform_.plan(batch, buffers); }
  void prepare(Stream& stream) override { transform_.prepare(stream); }
  void to_basis(Stream& stream, float* v, const float* x, int n) override { transform_.hartley(stream, v, x, n); }
  void from_basis(Stream& stream, float* x, const float* v, int n) override { transform_.hartley(stream, x, v, n); }

 private:
  FourierTransform transform_;
};

}  // namespace ito
