// SPDX-License-Identifier: Apache-2.0
// See timing.h.
#include "tools/commands/bench/timing.h"

#include <algorithm>
#include <chrono>

#include "engine/program/device_buffer.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/choices.h"

namespace ito {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Spread::Spread(std::vector<double> values) : times(std::move(values)) {
  std::sort(times.begin(), times.end());
}

constexpr double kLongEnough = 0.02;  // seconds that a timed group of launches takes: the host's part is then small

// Seconds of one launch, as often as asked: each time of a group of launches that is long enough.
Spread time_launches(Stream& stream, int repetitions, const std::function<void()>& launch) {
  const auto group = [&](int launches) {
    return seconds_of([&] {
      for (int i = 0; i < launches; ++i) launch();
      stream.synchronize();
    });
  };
  group(1);  // what is made at the first use
  int launches = 1;
  while (group(launches) < kLongEnough && launches < 1 << 16) launches *= 2;
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(group(launches) / launches);
  return Spread(times);
}

Json rate_of(const Spread& spread, double amount) {
  return {{"median", amount / spread.median()},
          {"least", amount / spread.times.back()},
          {"most", amount / spread.times.front()}};
}

Json seconds_json(const Spread& spread) {
  return {{"seconds", spread.median()}, {"least_seconds", spread.least()}, {"most_seconds", spread.most()}};
}

Json machine() {
  return {{"device", device_name()}, {"kernels", kernel_choices()}};
}

void fill_random(Stream& stream, DataRef out, size_t count) {
  std::vector<float> host(count);
  uint32_t state = 0x9E3779B9u;
  for (float& value : host) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
  if (out.type == DType::F32) {
    copy_to_device(stream, out.data, host.data(), count * sizeof(float));
    stream.synchronize();
    return;
  }
  DeviceBuffer<float> values(count, "random values");
  values.upload(stream, host.data());
  convert(stream, out, values.data(), static_cast<int64_t>(count));
  stream.synchronize();
}

}  // namespace ito
