// SPDX-License-Identifier: Apache-2.0
// From a timeline to launches: each with the pass and the layer it belongs to, and what its op costs. A step launches
// the same things in the same order every time, so that launch i of one step is launch i of the next.
#pragma once
#include <string>
#include <vector>

#include "engine/program/cost.h"
#include "kernels/seams/ranges.h"

namespace ito {

struct ProfiledLaunch {
  std::string kernel;  // the launch's name
  std::string pass;    // forward, backward, or step: what is around the network
  std::string layer;   // the op's name; of the step "-"
  std::string op;      // the op's kind
  double seconds = 0;  // the median of the steps
  Cost cost = {};      // of the part of the op that this launch is; nothing where another launch has it
  size_t first_node = 0, end_node = 0;  // of a capture: the graph's nodes that it added
};

// The launches of one step, from the ranges that ended in it. Ranges without another inside are launches, but for those
// of layers, which launch nothing.
std::vector<ProfiledLaunch> launches_of(const std::vector<TimelineEvent>& events, const Program& program);

// Median times of steps that launched the same; Error if they did not.
std::vector<ProfiledLaunch> median_launches(const std::vector<std::vector<ProfiledLaunch>>& steps);

// Gives every launch the part of its op's cost that it is: of a backward in two parts, the launches that say "weight"
// are one and the others the other; the longest launch of a part has it.
void attribute_costs(std::vector<ProfiledLaunch>& launches, const Program& program);

}  // namespace ito
