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
  kWrong = 7,             // computes something else
  kBatchChangesBits = 8,  // an image's last bits depend on N
  kGood = 9,
};

// Engines that were run, in order of their first run.
const std::vector<int>& stand_in_engines_run();
int stand_in_last_attention();  // the engine; 0: none was run

}  // namespace ito::test
