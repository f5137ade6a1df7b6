// SPDX-License-Identifier: Apache-2.0
// Timestep features, fp32.
//   sinusoid (Vaswani et al. 2017; Ho et al. 2020): f_i = exp(-ln(10000) i / (C/2 - freq_shift)), [sin(t f), cos(t f)],
//   or [cos, sin] with flip; an odd C gets one zero at the end. fourier (Song et al. 2021): a_i = 2 pi w_i ln t, [sin
//   a, cos a] or [cos a, sin a] with flip, width 2C.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// y (N, C); t (N) fp32.
void sinusoidal_embedding(Stream& stream, float* y, const float* t, int n, int c, float freq_shift, bool flip);
// y (N, 2C); weight (C), fixed.
void fourier_embedding(Stream& stream, float* y, const float* t, const float* weight, int n, int c, bool flip);
// t (N) fp32 -> int32, for learned tables.
void timesteps_to_index(Stream& stream, int32_t* index, const float* t, int n);

}  // namespace ito
