// SPDX-License-Identifier: Apache-2.0
// See strip.h. Levels and scales are those of the table's rows, so the picture is right for every sampler.
#include "engine/reverse/strip.h"

#include <algorithm>

#include "engine/io/sample_grid.h"
#include "engine/program/device_buffer.h"
#include "kernels/diffusion/noising.h"
#include "kernels/diffusion/pack.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

constexpr int kMoments = 8;
constexpr uint64_t kStripSeed = 1;  // of the noise in the upper row; it belongs to the picture alone

}  // namespace

Strip::Strip(const ReverseTable& table, const ImageShape& image) : table_(table), image_(image) {
  const int rows = static_cast<int>(table_.rows.size());
  for (int m = 1; m <= kMoments; ++m) {
    const int row = std::max(0, m * rows / kMoments - 1);
    if (moments_.empty() || moments_.back() != row) moments_.push_back(row);
  }
}

bool Strip::wants(int row) const {
  return std::find(moments_.begin(), moments_.end(), row) != moments_.end();
}

void Strip::record(const float* x) {
  states_.emplace_back(x, x + image_.size());
}

Image Strip::picture(const float* final_image) const {
  Stream stream;
  const int64_t size = image_.size();
  const size_t moments = states_.size();
  DeviceBuffer<float> eps(size, "noise");
  SampleCounter counter;
  counter.seed = kStripSeed;
  fill_normal(stream, eps.data(), counter, purpose_word(Purpose::Noise), 1, size);
  std::vector<float> noise(size);
  eps.download(stream, noise.data());

  // Both rows as the network sees them: a state of sigma space is brought back to the size of data and noise.
  std::vector<float> shown(2 * moments * size);
  for (size_t m = 0; m < moments; ++m) {
    const auto scale = static_cast<double>(table_.rows[moments_[m]].next_input_scale);
    for (int64_t i = 0; i < size; ++i) shown[(moments + m) * size + i] = static_cast<float>(scale * states_[m][i]);
    // The state after a moment has the level of the next row; the upper row walks the same levels upwards.
    const auto above = static_cast<size_t>(moments_[moments - 1 - m]);
    const bool clean = above + 1 >= table_.rows.size();
    const double back = clean ? 1 : table_.rows[above].next_input_scale;
    const double alpha = clean ? 1 : table_.rows[above + 1].alpha, sigma = clean ? 0 : table_.rows[above + 1].sigma;
    for (int64_t i = 0; i < size; ++i)
      shown[m * size + i] = static_cast<float>(back * (alpha * final_image[i] + sigma * noise[i]));
  }
  DeviceBuffer<float> values(shown.size(), "a strip's images");
  DeviceBuffer<uint8_t> packed(shown.size(), "a strip's images");
  values.upload(stream, shown.data());
  pack_uint8(stream, packed.data(), values.data(), static_cast<int64_t>(shown.size()));
  std::vector<uint8_t> bytes(shown.size());
  packed.download(stream, bytes.data());
  std::vector<Image> images;
  for (size_t m = 0; m < 2 * moments; ++m) images.push_back(to_picture(bytes.data() + m * size, image_));
  return image_grid(images, static_cast<int>(moments), 2);
}

}  // namespace ito
