// SPDX-License-Identifier: Apache-2.0
// Times of launches and steps, and what a report says of a set of them.
#pragma once
#include <functional>
#include <vector>

#include "engine/io/json_file.h"
#include "kernels/seams/device.h"

namespace ito {

double seconds_of(const std::function<void()>& work);

struct Spread {
  explicit Spread(std::vector<double> values);
  double median() const { return times[times.size() / 2]; }
  double least() const { return times.front(); }
  double most() const { return times.back(); }
  std::vector<double> times;  // ascending
};

// Seconds of one launch, as often as asked: each time of a group of launches that is long enough.
Spread time_launches(Stream& stream, int repetitions, const std::function<void()>& launch);

Json rate_of(const Spread& spread, double amount);  // amount / seconds: median, least, most
Json seconds_json(const Spread& spread);            // seconds, least_seconds, most_seconds
Json machine();                                     // device and kernels

// Random values in [-1, 1): zeros would take less power, and the clock stay higher than in real work.
void fill_random(Stream& stream, DataRef out, size_t count);

}  // namespace ito
