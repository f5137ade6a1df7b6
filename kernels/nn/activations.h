// SPDX-License-Identifier: Apache-2.0
// Activations: ReLU, max(x, 0), and those of transformers' feed-forward layers. With Phi the normal distribution
// function:
//   gelu(x) = x Phi(x) (Hendrycks and Gimpel 2016);  its tanh form puts (1 + tanh u) / 2 for Phi,
//   u = sqrt(2 / pi) (x + 0.044715 x^3);  gated SiLU (SwiGLU, Shazeer 2020): a silu(b).
// SiLU itself is in pointwise.h.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// y = max(x, 0); dx (+)= dy where x > 0, else 0 (at 0 too). NaN stays NaN.
void relu_forward(Stream& stream, DataRef y, ConstDataRef x, int64_t count);
void relu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, int64_t count);

enum class Gelu : uint8_t { Erf, Tanh };

// y = gelu(x); dx (+)= dy gelu'(x).
void gelu_forward(Stream& stream, DataRef y, ConstDataRef x, Gelu form, int64_t count);
void gelu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, Gelu form, int64_t count);

// Rows x (rows, 2C) = [a, b], or [b, a] where the gate comes first; y (rows, C) = a silu(b).
struct GatedSiluShape {
  int64_t rows = 0;
  int c = 0;
  bool gate_first = false;
};
void gated_silu_forward(Stream& stream, DataRef y, ConstDataRef x, const GatedSiluShape& shape);
// dx (rows, 2C) (+)= dL/dx.
void gated_silu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x,
                         const GatedSiluShape& shape);

}  // namespace ito
