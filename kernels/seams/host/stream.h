// SPDX-License-Identifier: Apache-2.0
// What a stream and a graph are where the device is the host: launches run at once, or are kept as closures and
// replayed. Shared by cpu and sim.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/launch_point.h"
#include "kernels/seams/device.h"

namespace ito {

struct Graph::Impl {
  struct Node {
    const char* name;  // a string literal, or interned
    std::function<void()> run;
    bool branch;       // of another stream than the one that captured
    size_t after = 0;  // the other streams' nodes before this number must have run
  };
  std::vector<Node> nodes;
  int times = 1;  // turns of a loop
};

// A capture under way, and the streams besides its own that record in it.
struct Recording {
  std::unique_ptr<Graph::Impl> graph = std::make_unique<Graph::Impl>();
  // Numbers of nodes, by stream: before which it has waited for the others'; of branches with launches that the own
  // stream has not waited for, behind the last of these.
  std::map<const Stream::Impl*, size_t> waited, unwaited;
};

// Work is done when it is enqueued, so every point of it has been reached; but one of a capture says how far it is.
struct Event::Impl {
  std::weak_ptr<Recording> recording;
  const Stream::Impl* stream = nullptr;
  size_t nodes = 0;
};

struct Stream::Impl {
  std::shared_ptr<Recording> own;   // between begin_capture and end_capture
  std::weak_ptr<Recording> joined;  // another stream's
  std::shared_ptr<Recording> recording() const { return own ? own : joined.lock(); }
};

// For tests: when branches of a graph run. In the order of the capture, or as early or late as the waits allow.
enum class BranchOrder : uint8_t { AsCaptured, Early, Late };
void replay_branches(BranchOrder order);

}  // namespace ito
