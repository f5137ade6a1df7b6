// SPDX-License-Identifier: Apache-2.0
// A stand-in for cuDNN's backend API in sim: descriptors keep what they are given, the heuristics propose the engines
// below, and a plan decodes its operation and runs the portable kernel. With it the CUDA build's convolution and
// attention run the seams' tests where there is no card, down to the last attribute.
#pragma once
#include <vector>

namespace ito::test {

// In the heuristics' order.
enum StandInEngine {
  kNotDeterministic = 3,  // says so in its notes
  kCutsByGrid = 4,        // by its knobs
  kRefuses = 6,           // cannot be planned
  kHoldsParts = 10,       // its workspace rises and falls with N
  kWrong = 7,             // computes something else
  kBatchChangesBits = 8,  // an image's last bits depend on N
  kManyChangeBits = 5,    // the same, but for N above kFewImages alone
  kGood = 9,
};
inline constexpr int kFewImages = 8;

// Engines that were run, in order of their first run.
const std::vector<int>& stand_in_engines_run();
// From now on plans of a convolution of so many images want a workspace as if it held parts of sums; 0: none do.
void stand_in_holds_parts_at(int images);
int stand_in_last_attention();  // the engine; 0: none was run

}  // namespace ito::test
