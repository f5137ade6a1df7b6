// SPDX-License-Identifier: Apache-2.0
// Samples as pictures: the grid, and the strip that shows the forward and the reverse process.
#pragma once
#include <string>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "engine/io/image.h"
#include "engine/io/layout.h"

namespace ito {

// x (H, W, C) fp32 in [-1, 1] -> bytes, rounded as the pipelines round.
Image to_image(const float* x, const ImageShape& shape);
// The first `count` of samples (N, H, W, C), about as wide as high.
void write_sample_grid(const std::string& path, const std::vector<float>& samples, int64_t count,
                       const ImageShape& shape);

// Keeps the first image of the batch at eight moments of the reverse process.
class StripRecorder {
 public:
  StripRecorder(const NoiseSchedule& schedule, std::vector<int> timesteps, const ImageShape& shape);
  bool wants(int step) const;
  void record(const float* x);  // the state after a wanted step, in order
  // Two rows: `final_image` noised to the same levels, clean on the left; below it the states, noise on the left.
  void write(const std::string& path, const float* final_image) const;

 private:
  const NoiseSchedule& schedule_;
  std::vector<int> timesteps_, moments_;
  ImageShape shape_;
  std::vector<std::vector<float>> states_;
};

}  // namespace ito
