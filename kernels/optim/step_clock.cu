// SPDX-License-Identifier: Apache-2.0
// Stamps of a step: the difference of two readings is added up on the device.
//   Begin: begin = now;  Wait: wait = now;  Resume: waited += now - wait;  End: nanoseconds += now - begin, steps += 1
// One thread, 16 to 24 bytes: what it costs is a launch, some two microseconds of a step. A clock that goes in steps of
// a microsecond errs by less than one an interval, and either way alike. Refused: events with timing, which a graph
// does not hand out step by step, and a list of readings for the host, which would have to be read in time.
#include "kernels/optim/step_clock.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = 32;

KERNEL void stamp_kernel(StepClock* clock, Stamp point) {
  if (threadIdx.x == 0) {
    const uint64_t now = clock_nanoseconds();
    if (point == Stamp::Begin) clock->begin = now;
    if (point == Stamp::Wait) clock->wait = now;
    if (point == Stamp::Resume) clock->waited += static_cast<int64_t>(now - clock->wait);
    if (point == Stamp::End) {
      clock->nanoseconds += static_cast<int64_t>(now - clock->begin);
      clock->steps += 1;
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void stamp(Stream& stream, StepClock* clock, Stamp point) {
  ITO_CHECK(clock, "stamp: the clock is null");
  launch<stamp_kernel>("stamp", Dim3(1), block_threads(kThreads), 0, stream, clock, point);
}

}  // namespace ito
