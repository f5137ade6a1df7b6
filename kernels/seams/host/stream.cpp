// SPDX-License-Identifier: Apache-2.0
// Streams and graphs where the device is the host: a launch is a closure, run at once or recorded.
#include "kernels/seams/host/stream.h"

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
  return impl_->recording != nullptr;
}

void Stream::warm(const std::function<void()>&) {}

void Stream::begin_capture() {
  ITO_CHECK(!capturing(), "begin_capture: the stream already captures; call end_capture first");
  impl_->recording = std::make_unique<Graph::Impl>();
}

Graph Stream::end_capture() {
  ITO_CHECK(capturing(), "end_capture: the stream does not capture; call begin_capture first");
  Graph graph;
  graph.reset(std::move(impl_->recording));
  return graph;
}

Graph Stream::capture(const std::function<void()>& launches) {
  begin_capture();
  try {
    launches();
  } catch (...) {
    impl_->recording.reset();
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
  for (int turn = 0; turn < graph.impl()->times; ++turn)
    for (const Graph::Impl::Node& node : graph.impl()->nodes) run_named(node.name, node.run);
}

void Stream::record(Event&) {
  ITO_CHECK(!capturing(), "record: not allowed while capturing");
}
void Stream::wait(const Event&) {
  ITO_CHECK(!capturing(), "wait: not allowed while capturing");
}

// Launches have run when submit returns, and their errors were thrown there.
void Stream::synchronize() {
  ITO_CHECK(!capturing(), "synchronize: not allowed while capturing");
}
void Stream::synchronize(const Event&) {
  synchronize();
}

void submit(Stream& stream, const char* name, std::function<void()> work) {
  if (!stream.capturing()) return run_named(name, work);
  const Range range(name);  // as on a GPU: a captured launch is named at its capture
  stream.impl().recording->nodes.push_back({intern(name), std::move(work)});
}

}  // namespace ito
