// SPDX-License-Identifier: Apache-2.0
// A network whose time passes through an op that does not say that it works row by row, so that nothing can be made of
// it ahead of a call: what a network whose time is made once must equal, bit for bit. And a count of how often it is.
#pragma once
#include <algorithm>
#include <functional>

#include "engine/program/network.h"
#include "kernels/seams/ranges.h"
#include "tests/engine/program/toy_ops.h"

namespace ito::test {

inline Network time_in_every_call(Network network) {
  static Journal nobody_asks;  // a time has no gradient
  network.append = [append = network.append](Program& program, const NetworkInputs& inputs) {
    NetworkInputs late = inputs;
    late.timestep = toy(program, nobody_asks, "the call's own time", {inputs.timestep});
    return append(program, late);
  };
  return network;
}

// How often a tiny UNet's rows of time are made while `work` runs, uncaptured.
inline int64_t makings_of_time(const std::function<void()>& work) {
  timeline_start();
  work();
  const std::vector<TimelineEvent> events = timeline_take();
  return std::ranges::count(events, "time_embedding.linear_1", &TimelineEvent::name);
}

}  // namespace ito::test
