// SPDX-License-Identifier: Apache-2.0
// A kernel in Hopper's words, right or with one thing wrong.
#pragma once
#include <ostream>
#include <vector>

#include "kernels/seams/device.h"

namespace ito::planted {

enum class Fault {
  None,
  InitTwice,        // of one barrier
  NoSyncAfterInit,  // of the barriers
  Registers,        // more than the launch has
  Misaligned,       // a tile
  NoEmptyWait,      // the producer refills without asking
  TooManyBytes,     // are expected
  TooFewBytes,
  ExpectTwice,    // in one phase
  NoWeightsWait,  // before the operand is read
  NoParity,       // the parity does not turn with the ring
  NoFence,        // between accumulators and product
  LateWrite,      // of an accumulator, behind the fence
  Divergent,      // a lane with another descriptor
  Outside,        // a descriptor of what is not there
  EarlyArrival,   // the stage is given back while it is read
  EarlyStore,     // an ordinary write into an operand in use
  NoProductWait,  // at all
  NoArrival,      // the stage is never given back
  NoProxyFence,   // between ordinary writes and the copy
  OtherCount,     // threads of one named barrier
  NoNamedSync,    // between the fence and the copy
  StoreReuse,     // the result is overwritten while the copy reads
  NoStoreWait,    // at all
  EarlyWrite,     // of an accumulator
  EarlyRead,      // the same: NaN in the result
};

struct HopperBug {
  const char* name;
  int least;         // schedules that see it, of five: a copy that lands at once hides what one that is late shows
  const char* kind;  // a pattern that the report fits; empty: NaN
  // a (64 rounds, 64), b (64, 64), c (2, 64, 64)
  void (*run)(Stream& stream, bf16* a, bf16* b, bf16* c, int rounds);
};

inline void PrintTo(const HopperBug& bug, std::ostream* out) {
  *out << bug.name;
}

const std::vector<HopperBug>& hopper_bugs();
void run_pipeline(Stream& stream, bf16* a, bf16* b, bf16* c, int rounds);

}  // namespace ito::planted
