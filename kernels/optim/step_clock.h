// SPDX-License-Identifier: Apache-2.0
// How long a captured step took and how much of that it waited for other ranks, by the device's own clock: the host
// does not see into a graph. For reports alone; no number of a run depends on it.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// Of the steps that have ended. Zeroed by the host.
struct StepClock {
  int64_t steps, nanoseconds, waited;  // waited: of these, between Wait and Resume
  uint64_t begin, wait;                // of the step under way
};

enum class Stamp : uint8_t { Begin, Wait, Resume, End };

// One thread reads the clock when the stream reaches this point. clock: device memory; a step has one Begin, then any
// number of Wait and Resume in turn, then End, in stream order.
void stamp(Stream& stream, StepClock* clock, Stamp point);

}  // namespace ito
