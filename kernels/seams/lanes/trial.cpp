// SPDX-License-Identifier: Apache-2.0
// See trial.h.
#include "kernels/seams/lanes/trial.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/nn/pointwise.h"

namespace ito {

std::vector<float> as_floats(const std::vector<char>& bytes, DType type) {
  std::vector<float> values(bytes.size() / size_of(type));
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t bits = 0;
    memcpy(reinterpret_cast<char*>(&bits) + (4 - size_of(type)), bytes.data() + i * size_of(type), size_of(type));
    memcpy(&values[i], &bits, sizeof bits);
  }
  return values;
}

void invent(Stream& stream, void* to, DType type, const DeviceBlock& wide, int64_t count, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
  }
  copy_to_device(stream, wide.data(), values.data(), sizeof(float) * values.size());
  convert(stream, {to, type}, static_cast<const float*>(wide.data()), count);
}

std::vector<char> fetch(Stream& stream, const void* from, size_t bytes) {
  std::vector<char> host(bytes);
  copy_to_host(stream, host.data(), from, bytes);
  return host;
}

bool same_up_to_rounding(const std::vector<char>& got_bytes, const std::vector<char>& want_bytes, DType type,
                         bool true_fp32) {
  const std::vector<float> got = as_floats(got_bytes, type), want = as_floats(want_bytes, type);
  float largest = 0, difference = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return false;
    largest = std::max(largest, std::fabs(want[i]));
    difference = std::max(difference, std::fabs(got[i] - want[i]));
  }
  return difference <= (true_fp32 ? 0x1p-15f : 0x1p-6f) * largest;
}

}  // namespace ito
