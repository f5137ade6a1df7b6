// SPDX-License-Identifier: Apache-2.0
// The unitary two-dimensional Fourier transform of images,
//   F x [u, v] = (H W)^-1/2 sum_ij x[i, j] exp(-2 pi i (u i / H + v j / W)),
// a channel at a time, and what measurements do to a spectrum. An image is (N, H, W, C) real; a spectrum is
// (N, H, W, C, 2), real and imaginary parts side by side, all frequencies, the zero frequency first. Sides of 1 to
// kMostFourierLength, of any factors; a side costs the sum of its prime factors a number, so that large primes are
// slow.
#pragma once
#include <vector>

#include "kernels/seams/device.h"

namespace ito {

inline constexpr int kMostFourierLength = 4096;

// cos and sin of 2 pi k / length, side by side, k = 0 .. length - 1, each rounded once.
std::vector<float> fourier_roots(int length);

struct FourierShape {
  int height = 0, width = 0, channels = 0;
  const float* height_roots = nullptr;  // (H, 2), fourier_roots(H) in device memory
  const float* width_roots = nullptr;   // (W, 2)
};

// spectrum = F x.
void fourier_transform(Stream& stream, float* spectrum, const float* x, const FourierShape& shape, int n);
// x = Re F^-1 spectrum, which is the adjoint of the above. Overwrites the spectrum.
void inverse_fourier_transform(Stream& stream, float* x, float* spectrum, const FourierShape& shape, int n);
// h = Re F x - Im F x, the Hartley transform: a real, symmetric, orthogonal matrix, hence its own inverse (Bracewell,
// 1983). A real and even function of the frequency multiplies h as it multiplies F x. h may be x; spectrum is scratch.
void hartley_transform(Stream& stream, float* h, const float* x, float* spectrum, const FourierShape& shape, int n);

// spectrum[n, p, c] times table[p], or times its conjugate; in place. table (H W, 2).
void multiply_spectrum(Stream& stream, float* spectrum, const float* table, bool conjugate, int n, int64_t pixels,
                       int channels);
// y = |spectrum|, count numbers of it.
void spectrum_magnitude(Stream& stream, float* y, const float* spectrum, int64_t count);
// spectrum = r spectrum / |spectrum|, 0 where that is 0; in place. r (count).
void spectrum_phase_times(Stream& stream, float* spectrum, const float* r, int64_t count);

}  // namespace ito
