// SPDX-License-Identifier: Apache-2.0
// "Networks" in closed form, elementwise: what published samplers' states are known for.
//   a  x t/(t+1)                          b  x t/(t+1) + 0.02 sin(3x + 0.05t)
//   c  0.8 sin(x + 0.7t)                  h  0.8 sin(x + 3t)
//   s  -(x - 0.5 tanh x) / (s^2 + 0.25), s = sigma / alpha
// t is the timestep as the network is given it: a number 0..T-1 for a and b, ln(s)/4 for c, 0 to 1 for h, where they
// stand for networks of such a kind.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

enum class ToyForm : uint8_t { A, B, C, S, H };

// Whether the form is asked at a level, not at a timestep.
constexpr bool asks_level(ToyForm form) {
  return form == ToyForm::S;
}

// y, x (N, size) in one type; at (N) timesteps or (N, 2) levels, alpha and sigma, in fp32.
void toy_forward(Stream& stream, DataRef y, ConstDataRef x, const float* at, ToyForm form, int n, int64_t size);
// dx (+)= dy times the derivative by x.
void toy_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, const float* at,
                  ToyForm form, int n, int64_t size);

}  // namespace ito
