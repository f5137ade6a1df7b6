// SPDX-License-Identifier: Apache-2.0
// See value_range.h. A data set is judged as a whole: one dark photograph is nothing to be told of.
#include "engine/data/value_range.h"

#include <algorithm>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr float kRounding = 1e-2f;    // what a compression or another library's conversion may overshoot by
constexpr float kNeverScaled = 2.0f;  // above this, and without a negative value, bytes were stored as floats
constexpr const char* kHowToScale = "divide by 127.5 and subtract 1, or store them as U8";

// Of images that are not in memory, a few of all of them are looked at.
constexpr int kLookedAt = 8;

uint8_t largest_byte(const Dataset& data) {
  if (!data.source) return *std::max_element(data.pixels.begin(), data.pixels.end());
  uint8_t largest = 0;
  std::vector<uint8_t> image(static_cast<size_t>(data.image_size()));
  for (int i = 0; i < std::min(kLookedAt, data.count); ++i) {
    data.image_bytes(int64_t{data.count} * i / std::min(kLookedAt, data.count), image.data());
    largest = std::max(largest, *std::max_element(image.begin(), image.end()));
    if (largest > 1) break;
  }
  return largest;
}

void check_bytes(const Dataset& data) {
  const uint8_t largest = largest_byte(data);
  if (largest == 0) warn(data.name, ": every value is 0: all images are black");
  if (largest == 1)
    warn(data.name, ": every value is 0 or 1, where 255 is white: the images are all but black; multiply them by 255");
}

void check_floats(const Dataset& data) {
  const auto [least, most] = std::minmax_element(data.pixels_f32.begin(), data.pixels_f32.end());
  const float low = *least, high = *most;
  const bool pictures = data.channels == 1 || data.channels == 3;
  ITO_USER_CHECK(!pictures || low < 0 || high <= kNeverScaled, data.name, ": its values are ", low, " to ", high,
                 "; images of floats are expected in [-1, 1]: ", kHowToScale);
  if (low < -1 - kRounding || high > 1 + kRounding)
    warn(data.name, ": its values are ", low, " to ", high,
         ", outside of [-1, 1]; sampling clips to that range unless the scheduler's clip_sample is false");
  else if (low >= 0 && high > low)
    warn(data.name, ": its values are ", low, " to ", high,
         "; images of floats are expected in [-1, 1], where 0 is grey: multiply by 2 and subtract 1");
}

}  // namespace

void check_value_range(const Dataset& data) {
  if (data.latents) return;  // whose range is their network's
  if (data.byte_images())
    check_bytes(data);
  else
    check_floats(data);
}

}  // namespace ito
