// SPDX-License-Identifier: Apache-2.0
// What an op's work amounts to, counted from shapes: floating-point operations of its matrix products and the bytes
// that no kernel can do without. Profiles and benchmarks divide by it; nothing that runs depends on it.
#pragma once
#include "engine/program/program.h"

namespace ito {

struct Cost {
  double flop = 0;   // a multiply and an add are two; what is done once a number is left out
  double bytes = 0;  // every tensor once; an added gradient is read and written
  Cost& operator+=(const Cost& other) {
    flop += other.flop;
    bytes += other.bytes;
    return *this;
  }
};

// Of one op of a program; all zero for a part that the program does not run. A part that an op has no separate launch
// for is counted under Part::Data.
Cost cost_of(const Program& program, int op, Part part);
bool has_weight_part(const Op& op);
Cost cost_of(const Program& program, Part part);  // of all ops

}  // namespace ito
