// SPDX-License-Identifier: Apache-2.0
// The reverse loop (Ho et al. 2020, algorithm 2, and every sampler that is a table of coefficients): network, fused
// update and step counter captured once as a loop; the step index, the coefficients and the noise's place live on the
// device, so that nothing comes from the host between the first step and the last. Finished images leave through two
// slots while the next batch runs. Image i is a function of (seed, i) alone.
#pragma once
#include <functional>
#include <vector>

#include "engine/program/device_buffer.h"
#include "engine/program/network.h"
#include "kernels/diffusion/reverse_step.h"

namespace ito {

struct ReverseSettings {
  int batch = 64;
  uint64_t seed = 0;
  DType compute = DType::F32;
  bool capture = true;             // false: launch every kernel of every step anew (the same bits)
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

  // Enqueues the drawing of images first .. first+batch-1 and, on a GPU, returns at once. initial_noise
  // (batch, H, W, C) or null: from the counter. labels: (batch) class numbers or null. At most two batches may be
  // started and not collected.
  void start(int64_t first, const float* initial_noise, const int32_t* labels);
  // Waits for the oldest batch that was started, and gives its images (batch, H, W, C), fp32.
  void collect(float* out);
  // start and collect. after_step(i) is called once step i is enqueued, when given; it may ask for state(), and then
  // the host waits there.
  void run(int64_t first, const float* initial_noise, const int32_t* labels, float* out,
           const std::function<void(int)>& after_step = {});
  std::vector<float> state();  // x of the batch now
  // Steps done since construction, in all batches; another thread may ask while this one waits.
  int64_t steps_done() const;

 private:
  // A finished batch on its way out.
  struct Slot {
    DeviceBuffer<float> finished;
    HostBuffer<float> images;
    Event copied;
  };
  void launch_step();
  void begin(int64_t first, const float* initial_noise, const int32_t* labels);
  void warm(int64_t first, const float* initial_noise, const int32_t* labels);
  void send_out();

  Network network_;
  ReverseSettings settings_;
  int steps_;
  Program program_;
  NetworkInputs inputs_;
  Stream stream_, copies_;
  Graph loop_, step_;
  Event ready_;
  Slot slots_[2];
  int64_t started_ = 0, collected_ = 0;
  HostBuffer<int64_t> steps_done_;
  DeviceBuffer<ReverseCoefficients> table_;
  DeviceBuffer<int64_t> counters_;  // [0] the step, [1] the batch's first image, [2] steps of all batches
  DeviceBuffer<float> x_;
};

}  // namespace ito
