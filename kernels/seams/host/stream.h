// SPDX-License-Identifier: Apache-2.0
// What a stream and a graph are where the device is the host: launches run at once, or are kept as closures and
// replayed. Shared by cpu and sim.
#pragma once
#include <functional>
#include <vector>

#include "kernels/launch_point.h"
#include "kernels/seams/device.h"

namespace ito {

struct Graph::Impl {
  struct Node {
    const char* name;  // a string literal, or interned
    std::function<void()> run;
  };
  std::vector<Node> nodes;
  int times = 1;  // turns of a loop
};

// Work is done when it is enqueued, so every point of it has been reached.
struct Event::Impl {};

struct Stream::Impl {
  std::unique_ptr<Graph::Impl> recording;  // set between begin_capture and end_capture
};

}  // namespace ito
