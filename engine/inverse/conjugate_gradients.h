// SPDX-License-Identifier: Apache-2.0
// Linear systems of symmetric, positive semidefinite operators, one an image, by a fixed number of steps of conjugate
// gradients, so that the whole can be captured.
#pragma once
#include <functional>

#include "engine/program/buffer_list.h"
#include "kernels/inverse/conjugate_gradients.h"

namespace ito {

inline constexpr int kCgSteps = 20;

class ConjugateGradients {
 public:
  // out = A in, (N, size).
  using Apply = std::function<void(Stream&, float* out, const float* in, int n)>;

  void plan(int batch, int64_t size, BufferList& buffers);
  // x = A^-1 b, as far as `steps` steps come. x may not be b.
  void solve(Stream& stream, float* x, const float* b, int n, const Apply& apply, int steps = kCgSteps);

 private:
  int64_t size_ = 0;
  DeviceBuffer<float> r_, p_, ap_;
  DeviceBuffer<double> rr_;
};

}  // namespace ito
