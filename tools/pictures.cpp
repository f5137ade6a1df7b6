// SPDX-License-Identifier: Apache-2.0
// See pictures.h.
#include "tools/pictures.h"

#include <algorithm>
#include <cmath>

#include "engine/program/device_buffer.h"
#include "kernels/diffusion/noising.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

constexpr int kMoments = 8;
constexpr uint64_t kStripSeed = 1;  // of the noise in the upper row; it belongs to the picture alone

}  // namespace

Image to_image(const float* x, const ImageShape& shape) {
  Image image(shape.height, shape.width, shape.channels == 1 ? 1 : 3);
  for (int64_t p = 0; p < shape.pixels(); ++p)
    for (int c = 0; c < image.channels; ++c) {
      const float unit = x[p * shape.channels + std::min(c, shape.channels - 1)] / 2 + 0.5f;
      const float bounded = unit >= 0 ? std::min(unit, 1.0f) : 0.0f;  // NaN becomes black
      image.pixels[p * image.channels + c] = static_cast<uint8_t>(std::nearbyint(255.0f * bounded));
    }
  return image;
}

void write_sample_grid(const std::string& path, const std::vector<float>& samples, int64_t count,
                       const ImageShape& shape) {
  std::vector<Image> images;
  for (int64_t i = 0; i < count; ++i) images.push_back(to_image(samples.data() + i * shape.size(), shape));
  const int columns = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  write_png(path, image_grid(images, columns, 2));
}

StripRecorder::StripRecorder(const NoiseSchedule& schedule, std::vector<int> timesteps, const ImageShape& shape)
    : schedule_(schedule), timesteps_(std::move(timesteps)), shape_(shape) {
  const int steps = static_cast<int>(timesteps_.size());
  for (int m = 1; m <= kMoments; ++m) {
    const int step = std::max(0, m * steps / kMoments - 1);
    if (moments_.empty() || moments_.back() != step) moments_.push_back(step);
  }
}

bool StripRecorder::wants(int step) const {
  return std::find(moments_.begin(), moments_.end(), step) != moments_.end();
}

void StripRecorder::record(const float* x) {
  states_.emplace_back(x, x + shape_.size());
}

void StripRecorder::write(const std::string& path, const float* final_image) const {
  Stream stream;
  const int64_t row = shape_.size();
  DeviceBuffer<float> eps(row, "noise");
  SampleCounter counter;
  counter.seed = kStripSeed;
  fill_normal(stream, eps.data(), counter, purpose_word(Purpose::Noise), 1, row);
  std::vector<float> noise(row);
  eps.download(stream, noise.data());

  std::vector<Image> images;
  std::vector<float> x(row);
  for (size_t m = 0; m < states_.size(); ++m) {
    // The state after moment m has the noise level of the next timestep; the upper row walks the same levels upwards.
    const int step = moments_[states_.size() - 1 - m];
    const bool clean = step + 1 >= static_cast<int>(timesteps_.size());
    const double abar = clean ? 1.0 : schedule_.abar(Step::from_timestep(timesteps_[step + 1]));
    for (int64_t i = 0; i < row; ++i)
      x[i] = static_cast<float>(std::sqrt(abar) * final_image[i] + std::sqrt(1 - abar) * noise[i]);
    images.push_back(to_image(x.data(), shape_));
  }
  for (const std::vector<float>& state : states_) images.push_back(to_image(state.data(), shape_));
  write_png(path, image_grid(images, static_cast<int>(states_.size()), 2));
}

}  // namespace ito
