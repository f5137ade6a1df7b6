// SPDX-License-Identifier: Apache-2.0
// Images from noise by a sampler that chooses its own steps: what ReverseProcess is to a table of rows. Image i is a
// function of (seed, i) alone, whatever the batch.
#pragma once
#include <vector>

#include "engine/reverse/network_slope.h"
#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"

namespace ito {

class AdaptiveProcess {
 public:
  // weights: an arena in device memory that outlives this object. UserError where the network cannot be asked at the
  // plan's times.
  AdaptiveProcess(const Network& network, const AdaptivePlan& plan, const float* weights,
                  const ReverseSettings& settings);

  // Images first .. first+count-1, a batch after the other. initial_noise (count, H, W, C) standard normals or null:
  // from the counter. labels: (count), as the network has them. Error, naming the image, if one does not come to its
  // end.
  void each(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels, const TakeImages& take);
  DrawnImages all(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels);

  const std::vector<int>& evaluations() const { return evaluations_; }  // of the network, an image of the last call
  // Of the way, an image a thousand; another thread may ask.
  int64_t thousandths() const { return solver_.thousandths(); }
  int64_t thousandths_of(int64_t count) const;  // that `count` images take, those that fill up the last batch included

 private:
  void begin(int64_t first, int64_t n, const float* initial_noise, const LabelRows& labels);
  void finish();

  AdaptivePlan plan_;
  ReverseSettings settings_;
  BufferList buffers_;
  Stream stream_{"sampling"};
  Denoiser denoiser_;
  NetworkSlope slope_;
  AdaptiveSolver solver_;
  DeviceBuffer<int64_t> first_;
  DeviceBuffer<float> images_;
  DeviceBuffer<uint8_t> bytes_;
  std::vector<int> evaluations_;
};

// UserError for a network that no flow of real times is of: one with a table of timesteps, answers that are no images,
// or one that is not defined at the flow's last time. doing: "sampling", say.
void check_flow_network(const Network& network, const ProbabilityFlow& flow, const char* doing);

}  // namespace ito
