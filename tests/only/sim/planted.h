// SPDX-License-Identifier: Apache-2.0
// Kernels with one bug each, to see the executor find it.
#pragma once
#include <ostream>
#include <vector>

#include "kernels/seams/device.h"

namespace ito::planted {

// Device memory the kernels work on: `floats` floats and as many ints, the floats initialised.
struct Memory {
  float* x;
  float* y;
  int* counts;
  int floats;
};
constexpr int kFloats = 1024;

enum class SeenBy { Executor, Address, Thread };  // which build reports it: any, under ASan, under TSan

struct Bug {
  const char* name;    // the launch
  const char* kernel;  // the function
  const char* kind;    // what the report begins with
  int line;            // in planted.cu, of the access or call at fault
  SeenBy seen_by;
  void (*run)(Stream& stream, const Memory& memory);
};

inline void PrintTo(const Bug& bug, std::ostream* out) {
  *out << bug.kernel;
}

const std::vector<Bug>& bugs();

// Right kernels that come close to the bugs: none may be reported. Returns their number.
int run_right_ones(Stream& stream, const Memory& memory);

}  // namespace ito::planted
