// SPDX-License-Identifier: Apache-2.0
// A residual sum with a gate an image and channel (adaLN-Zero, Peebles and Xie 2023): out = residual + gate[n] y.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

struct GateShape {
  int n = 0, rows = 0, c = 0;  // rows an image
  int64_t stride = 0;          // of the rows of gate and dgate, in numbers
};

// out, residual, y (N, rows, C); gate (N, C) fp32 at the stride. out may alias residual or y.
void gate_forward(Stream& stream, DataRef out, ConstDataRef residual, ConstDataRef y, const float* gate,
                  const GateShape& shape);
// dy (+)= gate dout; dgate (+)= the sum over the image's rows of dout y. dy and dgate may be null: not wanted. The
// residual's gradient is dout.
void gate_backward(Stream& stream, DataRef dy, Write write, float* dgate, Write gate_write, ConstDataRef dout,
                   ConstDataRef y, const float* gate, const GateShape& shape);

}  // namespace ito
