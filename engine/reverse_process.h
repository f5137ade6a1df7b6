// SPDX-License-Identifier: Apache-2.0
// The reverse loop (Ho et al. 2020, algorithm 2, and every sampler that is a table of coefficients): network, fused
// update and step counter captured once; the step index, the coefficients and the noise's place live on the device, so
// that nothing comes from the host between the first step and the last. Image i is a function of (seed, i) alone.
#pragma once
#include <functional>
#include <vector>

#include "engine/device_buffer.h"
#include "engine/network.h"
#include "kernels/diffusion/reverse_step.h"

namespace ito {

struct ReverseSettings {
  int batch = 64;
  uint64_t seed = 0;
  DType compute = DType::F32;
  bool capture = true;
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
  size_t kept_images = 0;          // bytes of images that the caller keeps in the same memory, for that sum
};

class ReverseProcess {
 public:
  // table: one row a network call. weights: an arena in device memory that outlives this object.
  ReverseProcess(const Network& network, std::vector<ReverseCoefficients> table, const float* weights,
                 const ReverseSettings& settings);

  const Program& program() const { return program_; }
  void pack();  // after the weights have changed

  // Draws images first .. first+batch-1 into out (batch, H, W, C), fp32. initial_noise (batch, H, W, C) or null: from
  // the counter. labels: (batch) class numbers or null. after_step(i) is called once step i is enqueued, when given; it
  // may ask for state(), and then the host waits there.
  void run(int64_t first, const float* initial_noise, const int32_t* labels, float* out,
           const std::function<void(int)>& after_step = {});
  std::vector<float> state();  // x of the batch now

 private:
  void launch_step();

  Network network_;
  ReverseSettings settings_;
  int steps_;
  Program program_;
  Stream stream_;
  Graph graph_;
  DeviceBuffer<ReverseCoefficients> table_;
  DeviceBuffer<int64_t> counters_;  // [0] the step, [1] the batch's first image
  DeviceBuffer<float> x_;
};

}  // namespace ito
