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

void check_bytes(const Dataset& data) {
  const uint8_t largest = *std::max_element(data.pixels.begin(), data.pixels.end());
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
  if (data.pixels_f32.empty())
    check_bytes(data);
  else
    check_floats(data);
}

}  // namespace ito
