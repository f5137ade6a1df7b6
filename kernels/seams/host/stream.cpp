// SPDX-License-Identifier: Apache-2.0
// Streams and graphs where the device is the host: a launch is a closure, run at once or recorded.
#include "kernels/seams/host/stream.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "kernels/seams/host/guarded_memory.h"
#include "kernels/seams/host/memory.h"
#include "kernels/seams/ranges.h"

namespace ito {
namespace {

// A graph outlives the launch that named its node, so recorded names are kept for good (there are few).
const char* intern(const char* name) {
  static std::mutex mutex;
  static std::set<std::string>* names = new std::set<std::string>;
  const std::lock_guard lock(mutex);
  return names->emplace(name).first->c_str();
}

void run_named(const char* name, const std::function<void()>& work) {
  const Range range(name);
  const std::unique_ptr<GuardedAccess> access(guards_memory() ? new GuardedAccess : nullptr);
  try {
    work();
  } catch (const UserError& e) {
    throw UserError(std::string(name) + ": " + e.what());
  } catch (const std::exception& e) {
    throw Error(std::string(name) + ": " + e.what());
  }
}

std::atomic<BranchOrder> branch_order{BranchOrder::AsCaptured};

void run_nodes(const std::vector<Graph::Impl::Node>& nodes, BranchOrder order) {
  const auto run = [](const Graph::Impl::Node& node) { run_named(node.name, node.run); };
  if (order == BranchOrder::AsCaptured) {
    for (const Graph::Impl::Node& node : nodes) run(node);
    return;
  }
  size_t next = 0;  // branches' nodes before it have run
  const auto run_branches = [&](auto&& may) {
    for (; next < nodes.size() && (!nodes[next].branch || may(next)); ++next)
      if (nodes[next].branch) run(nodes[next]);
  };
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].branch) continue;
    run_branches([&](size_t b) { return b < nodes[i].after || (order == BranchOrder::Early && nodes[b].after <= i); });
    run(nodes[i]);
  }
  run_branches([](size_t) { return true; });
}

}  // namespace

Graph::Graph() = default;
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
size_t Graph::nodes() const {
  return impl_ ? impl_->nodes.size() : 0;
}
void Graph::reset(std::unique_ptr<Impl> impl) {
  impl_ = std::move(impl);
}

Event::Event(const char*) : impl_(std::make_unique<Impl>()) {}
Event::~Event() = default;

Stream::Stream(const char*) : impl_(std::make_unique<Impl>()) {}
Stream::~Stream() = default;

bool Stream::capturing() const {
  return impl_->recording() != nullptr;
}

void Stream::warm(const std::function<void()>&) {}

void Stream::begin_capture() {
  ITO_CHECK(!capturing(), "begin_capture: the stream already captures; call end_capture first");
  impl_->own = std::make_shared<Recording>();
}

Graph Stream::end_capture() {
  ITO_CHECK(impl_->own, "end_capture: the stream does not capture; call begin_capture first");
  const std::shared_ptr<Recording> recording = std::move(impl_->own);
  ITO_CHECK(recording->unwaited.empty(), "end_capture: launches of ", recording->unwaited.size(),
            " other streams have nothing that waits for them");
  Graph graph;
  graph.reset(std::move(recording->graph));
  return graph;
}

Graph Stream::capture(const std::function<void()>& launches) {
  begin_capture();
  try {
    launches();
  } catch (...) {
    impl_->own.reset();
    throw;
  }
  return end_capture();
}

Graph Stream::capture_loop(int times, const std::function<void()>& launches) {
  ITO_CHECK(times >= 1, "capture_loop: ", times, " turns; expected at least 1");
  Graph graph = capture(launches);
  graph.impl()->times = times;
  return graph;
}

void Stream::replay(const Graph& graph) {
  ITO_CHECK(graph, "replay: the graph is empty; it was never captured");
  ITO_CHECK(!capturing(), "replay: a graph of ", graph.nodes(), " launches cannot be replayed while capturing");
  for (int turn = 0; turn < graph.impl()->times; ++turn) run_nodes(graph.impl()->nodes, branch_order);
}

void replay_branches(BranchOrder order) {
  branch_order = order;
}

void Stream::record(Event& event) {
  const std::shared_ptr<Recording> recording = impl_->recording();
  event.impl() = {recording, impl_.get(), recording ? recording->graph->nodes.size() : 0};
}

void Stream::wait(const Event& event) {
  const std::shared_ptr<Recording> recording = impl_->recording(), of_event = event.impl().recording.lock();
  ITO_CHECK(!recording || of_event == recording, "wait: the event is of no work of the capture");
  if (!of_event) return;
  if (!recording) impl_->joined = of_event;
  size_t& waited = of_event->waited[impl_.get()];
  waited = std::max(waited, event.impl().nodes);
  if (!impl_->own) return;
  const auto branch = of_event->unwaited.find(event.impl().stream);
  if (branch != of_event->unwaited.end() && branch->second <= event.impl().nodes) of_event->unwaited.erase(branch);
}

// Launches have run when submit returns, and their errors were thrown there.
void Stream::synchronize() {
  ITO_CHECK(!capturing(), "synchronize: not allowed while capturing");
}
void Stream::synchronize(const Event&) {
  synchronize();
}

bool streams_overlap() {
  return false;
}

void submit(Stream& stream, const char* name, std::function<void()> work) {
  if (!stream.capturing()) return run_named(name, work);
  const Range range(name);  // as on a GPU: a captured launch is named at its capture
  const std::shared_ptr<Recording> recording = stream.impl().recording();
  const bool branch = !stream.impl().own;
  recording->graph->nodes.push_back({intern(name), std::move(work), branch, recording->waited[&stream.impl()]});
  if (branch) recording->unwaited[&stream.impl()] = recording->graph->nodes.size();
}

}  // namespace ito
