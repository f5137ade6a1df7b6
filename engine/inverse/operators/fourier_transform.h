// SPDX-License-Identifier: Apache-2.0
// The Fourier transform of images of one shape with its tables and one spectrum of scratch, which what is made of
// Fourier coefficients shares.
#pragma once
#include "engine/inverse/measurement_operator.h"
#include "kernels/inverse/fourier.h"

namespace ito {

class FourierTransform {
 public:
  explicit FourierTransform(const ImageShape& image) : image_(image) {}
  void plan(int batch, BufferList& buffers) {
    buffers.add(height_roots_, 2 * static_cast<size_t>(image_.height), "the roots of a Fourier transform");
    buffers.add(width_roots_, 2 * static_cast<size_t>(image_.width), "the roots of a Fourier transform");
    buffers.add(spectrum_, 2 * static_cast<size_t>(batch * image_.size()), "a Fourier spectrum");
  }
  void prepare(Stream& stream) {
    height_roots_.upload(stream, fourier_roots(image_.height).data());
    width_roots_.upload(stream, fourier_roots(image_.width).data());
  }

  float* spectrum() const { return spectrum_.data(); }  // (N, H, W, C, 2)
  // The spectrum of x.
  void forward(Stream& stream, const float* x, int n) { fourier_transform(stream, spectrum(), x, shape(), n); }
  // x from the spectrum, which is lost.
  void inverse(Stream& stream, float* x, int n) { inverse_fourier_transform(stream, x, spectrum(), shape(), n); }
  void hartley(Stream& stream, float* h, const float* x, int n) {
    hartley_transform(stream, h, x, spectrum(), shape(), n);
  }
  void multiply(Stream& stream, const float* table, bool conjugate, int n) {
    multiply_spectrum(stream, spectrum(), table, conjugate, n, image_.pixels(), image_.channels);
  }

 private:
  FourierShape shape() const {
    return {image_.height, image_.width, image_.channels, height_roots_.data(), width_roots_.data()};
  }
  ImageShape image_;
  DeviceBuffer<float> height_roots_, width_roots_, spectrum_;
};

// UserError unless the sides can be transformed.
void check_fourier_sides(const std::string& text, int height, int width);

}  // namespace ito
