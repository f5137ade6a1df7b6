// SPDX-License-Identifier: Apache-2.0
// E[x0 | x] of x = x0 + s eps as a network estimates it, and its derivative, on images from the host: what samplers and
// solvers of other programs ask a denoiser for, D(x; s) of Karras et al. 2022. By Tweedie's formula (Efron 2011) the
// score of x's density is (D(x; s) - x) / s^2. Every image has a level of its own; its bits do not depend on the
// others.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/reading.h"
#include "engine/program/denoiser.h"

namespace ito {

struct NoisyImages {
  int64_t count = 0;
  const float* x = nullptr;         // (count, H, W, C)
  const double* s = nullptr;        // (count), at least 0, where x is x0
  const int32_t* labels = nullptr;  // (count) class numbers, of a network with classes
};

class PosteriorMean {
 public:
  // weights: an arena in device memory that outlives this object. batch: images at once. where begins messages.
  // memory_limit in bytes: UserError with the sum if the plan needs more.
  PosteriorMean(const Network& network, const NoiseSchedule& schedule, const float* weights, int batch, DType compute,
                Denoiser::Gradient gradient, const std::string& where, size_t memory_limit = SIZE_MAX);

  int batch() const { return denoiser_.batch(); }
  // x0 (count, H, W, C). UserError naming the image for a level at which the network cannot be asked, or its answer
  // determines no image. One beyond the schedule's is asked at the nearest timestep, with the state scaled to it.
  void estimate(const NoisyImages& images, float* x0);
  // Of Gradient::Input: besides, (d x0 / d x)^T v, v and gradient (count, H, W, C). x0 may be null.
  void pull_back(const NoisyImages& images, const float* v, float* x0, float* gradient);

 private:
  struct Call {
    float time, input_scale;
    double from_x, from_answer;  // x0 = from_x x + from_answer answer
  };
  Call call_at(double s, int64_t image) const;
  void run(const NoisyImages& images, const float* v, float* x0, float* gradient);
  void run_batch(const NoisyImages& images, int64_t first, const std::vector<Call>& calls, const float* v, float* x0,
                 float* gradient);

  std::string where_;
  Levels levels_;
  Reading reading_;
  Denoiser denoiser_;
  Stream stream_{"denoising"};
  DeviceBuffer<float> staging_;  // of a batch of samples or of answers, the wider
  std::vector<float> host_;      // likewise
};

}  // namespace ito
