// SPDX-License-Identifier: Apache-2.0
// See torch_cpu_noise.h. Logarithms and angles in double: PyTorch's own differ between its builds in the last bits.
#include "engine/reverse/torch_cpu_noise.h"

#include <cmath>
#include <numbers>

namespace ito {
namespace {

constexpr int64_t kBlock = 16;

}  // namespace

float TorchCpuNoise::uniform() {
  return static_cast<float>(bits_() & 0xFFFFFFu) * 0x1p-24f;
}

double TorchCpuNoise::fine_uniform() {
  const uint64_t high = bits_(), low = bits_();
  return static_cast<double>((high << 32 | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

// Number j and number j + 8 are a pair: radius and angle.
void TorchCpuNoise::fill_block(float* out) {
  for (int j = 0; j < kBlock / 2; ++j) {
    const double radius = std::sqrt(-2 * std::log(1 - static_cast<double>(out[j])));
    const double angle = 2 * std::numbers::pi * static_cast<double>(out[j + kBlock / 2]);
    out[j] = static_cast<float>(radius * std::cos(angle));
    out[j + kBlock / 2] = static_cast<float>(radius * std::sin(angle));
  }
}

float TorchCpuNoise::single() {
  if (second_) {
    const double kept = *second_;
    second_.reset();
    return static_cast<float>(kept);
  }
  const double angle = 2 * std::numbers::pi * fine_uniform();
  const double radius = std::sqrt(-2 * std::log1p(-fine_uniform()));
  second_ = radius * std::sin(angle);
  return static_cast<float>(radius * std::cos(angle));
}

std::vector<float> TorchCpuNoise::normals(int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  if (count < kBlock) {
    for (float& value : out) value = single();
    return out;
  }
  for (float& value : out) value = uniform();
  for (int64_t i = 0; i + kBlock <= count; i += kBlock) fill_block(out.data() + i);
  if (count % kBlock != 0) {  // the last 16 are drawn anew, over what a whole block already gave
    float* last = out.data() + (count - kBlock);
    for (int j = 0; j < kBlock; ++j) last[j] = uniform();
    fill_block(last);
  }
  return out;
}

}  // namespace ito
