// SPDX-License-Identifier: Apache-2.0
// What the device reaches at best, for holding other times against: a copy, and the fastest matrix product.
#pragma once
#include "tools/commands/bench/timing.h"

namespace ito {

struct Roofline {
  double bytes_per_second = 0, flop_per_second = 0;
  // Of the least time in which work of so many operations and bytes could be done.
  double least_seconds(double flop, double bytes) const;
  Json json() const;
};

// Measured now. largest: the longest side of a matrix, 0: large enough for any device.
Roofline measure_roofline(DType type, int repetitions, int largest);

}  // namespace ito
