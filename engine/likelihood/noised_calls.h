// SPDX-License-Identifier: Apache-2.0
// A network asked about noised images, for what is measured of it: pairs of an image and a timestep, in any order and a
// batch at a time, each pair with a draw of noise that is its own whatever batch it falls in.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/diffusion/forward_rows.h"
#include "engine/diffusion/schedule.h"
#include "engine/program/buffer_list.h"
#include "engine/program/denoiser.h"
#include "kernels/random/sample_counter.h"

namespace ito {

struct NoisedPair {
  int64_t image;  // of those that were given
  int timestep;   // 0..T-1
};

struct NoisedCallSettings {
  int batch = 64;
  uint64_t seed = 0;
  DType compute = DType::F32;
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
};

class NoisedCalls {
 public:
  // images (count, H, W, C) and their labels as the network has them; both outlive this object. what: what is measured,
  // for messages. UserError for a family without a chain of timesteps.
  NoisedCalls(const Network& network, const NoiseSchedule& schedule, const std::vector<float>& images,
              const Labels& labels, const NoisedCallSettings& settings, const std::string& what);

  // Buffers of whoever measures, allocated with these.
  BufferList& buffers() { return buffers_; }
  // Once, before the first call. weights: an arena in device memory that outlives this object.
  void prepare(const float* weights);

  // pairs: 1..batch of them; a short batch is filled up with its last pair. Pair i draws as sample first + i (mod 2^32)
  // of Purpose::Noise. Enqueues the answers, in denoiser().prediction().
  void evaluate(int64_t first, const std::vector<NoisedPair>& pairs);

  int64_t count() const { return count_; }  // images
  int batch() const { return denoiser_.batch(); }
  const Levels& levels() const { return levels_; }
  Stream& stream() { return stream_; }
  // Of the last call, on the device: what the kernels that look at answers take.
  const Denoiser& denoiser() const { return denoiser_; }
  const float* x0() const { return x0_.data(); }             // (batch, H, W, C)
  const ForwardRow* rows() const { return rows_.data(); }    // (batch), whose level is the timestep
  const SampleCounter& counter() const { return counter_; }  // of the noise
  bool wide() const { return denoiser_.network().wide(); }

 private:
  const std::vector<float>& images_;
  const Labels& labels_;
  NoisedCallSettings settings_;
  std::string what_;
  Levels levels_;
  std::vector<ForwardRow> forward_;  // by timestep
  int64_t count_;
  Stream stream_{"noised calls"};
  Denoiser denoiser_;
  BufferList buffers_;
  DeviceBuffer<float> x0_;
  DeviceBuffer<ForwardRow> rows_;
  SampleCounter counter_;
  DeviceBuffer<int64_t> timesteps_;
  std::vector<float> host_x0_, host_levels_;
  std::vector<ForwardRow> host_rows_;
  std::vector<int64_t> host_timesteps_;
  Labels host_labels_;
  std::vector<float> host_times_;
};

}  // namespace ito
