// SPDX-License-Identifier: Apache-2.0
// Streams, events and captured graphs on a GPU.
#include "kernels/seams/cuda/stream.h"

#include <cstdlib>
#include <cstring>
#include <memory>

namespace ito {
namespace {

// Conditional nodes came with CUDA 12.4; older drivers replay the body once a turn.
bool driver_has_loops() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess && version >= 12040;
}

bool blocking_launches() {
  static const bool blocking = [] {
    const char* text = std::getenv("ITO_BLOCKING_LAUNCHES");
    return text && std::strcmp(text, "1") == 0;
  }();
  return blocking;
}

void instantiate(Graph::Impl& graph) {
  check_cuda(cudaGraphInstantiate(&graph.executable, graph.graph, 0), "graph instantiation");
}

struct GraphDestroyer {
  void operator()(Graph::Impl* impl) const {
    Graph graph;
    graph.reset(std::unique_ptr<Graph::Impl>(impl));
  }
};

}  // namespace

void fail_cuda(cudaError_t status, const char* name) {
  const std::string ranges = open_range_names();
  const char* advice = "";
  if (status == cudaErrorMemoryAllocation) {
    advice = "; lower --batch or --micro-batch, or end what else uses the card";
  } else if (status == cudaErrorECCUncorrectable) {
    advice = "; the card's memory is faulty: reset the card, then go on from the last checkpoint";
  } else if (status == cudaErrorIllegalAddress || status == cudaErrorLaunchFailure || status == cudaErrorAssert ||
             status == cudaErrorMisalignedAddress || status == cudaErrorIllegalInstruction) {
    advice = "; some launch before this point failed: for its name set ITO_BLOCKING_LAUNCHES=1";
  }
  fail(name, ranges.empty() || ranges == name ? "" : " (" + ranges + ")", ": ", cudaGetErrorName(status), ": ",
       cudaGetErrorString(status), advice);
}

void check_launch(Stream& stream, const char* name) {
  check_cuda(cudaGetLastError(), name);
  if (blocking_launches() && !stream.capturing()) check_cuda(cudaStreamSynchronize(stream.impl().handle), name);
}

Graph::Graph() = default;
Graph::~Graph() {
  reset(nullptr);
}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&& other) noexcept {
  reset(std::move(other.impl_));
  return *this;
}
size_t Graph::nodes() const {
  return impl_ ? impl_->nodes : 0;
}
// Errors of the last launches, if any, were or will be reported by who waits for them: destruction goes on.
void Graph::reset(std::unique_ptr<Impl> impl) {
  if (impl_) {
    if (impl_->executable) (void)cudaGraphExecDestroy(impl_->executable);
    if (impl_->graph) (void)cudaGraphDestroy(impl_->graph);
    if (impl_->turns_left) device_free(impl_->turns_left);
  }
  impl_ = std::move(impl);
}

Event::Event() : impl_(std::make_unique<Impl>()) {
  require_device();
  check_cuda(cudaEventCreateWithFlags(&impl_->handle, cudaEventDisableTiming), "event");
}
Event::~Event() {
  if (impl_->handle) (void)cudaEventDestroy(impl_->handle);
}

Stream::Stream() : impl_(std::make_unique<Impl>()) {
  require_device();
  check_cuda(cudaStreamCreateWithFlags(&impl_->handle, cudaStreamNonBlocking), "stream");
}
Stream::~Stream() {
  (void)cudaStreamSynchronize(impl_->handle);  // the staging memory may be under way
  for (const Staging& staging : impl_->staging) {
    if (staging.copied) (void)cudaEventDestroy(staging.copied);
    host_free(staging.memory);
  }
  (void)cudaStreamDestroy(impl_->handle);
}

bool Stream::capturing() const {
  return impl_->capturing;
}

void Stream::warm(const std::function<void()>& launches) {
  launches();
  synchronize();
}

void Stream::begin_capture() {
  ITO_CHECK(!capturing(), "begin_capture: the stream already captures; call end_capture first");
  check_cuda(cudaStreamBeginCapture(impl_->handle, cudaStreamCaptureModeThreadLocal), "begin_capture");
  impl_->capturing = true;
}

Graph Stream::end_capture() {
  ITO_CHECK(capturing(), "end_capture: the stream does not capture; call begin_capture first");
  impl_->capturing = false;
  std::unique_ptr<Graph::Impl, GraphDestroyer> captured(new Graph::Impl);
  check_cuda(cudaStreamEndCapture(impl_->handle, &captured->graph), "end_capture");
  check_cuda(cudaGraphGetNodes(captured->graph, nullptr, &captured->nodes), "end_capture");
  instantiate(*captured);
  Graph graph;
  graph.reset(std::unique_ptr<Graph::Impl>(captured.release()));
  return graph;
}

Graph Stream::capture(const std::function<void()>& launches) {
  begin_capture();
  try {
    launches();
  } catch (...) {
    impl_->capturing = false;
    cudaGraph_t abandoned = nullptr;
    (void)cudaStreamEndCapture(impl_->handle, &abandoned);
    if (abandoned) (void)cudaGraphDestroy(abandoned);
    (void)cudaGetLastError();  // what the abandoned capture left
    throw;
  }
  return end_capture();
}

// The graph: set the counter, then a while node whose body is the launches and the kernel that counts the turn.
// One launch runs all turns.
Graph Stream::capture_loop(int times, const std::function<void()>& launches) {
  ITO_CHECK(times >= 1, "capture_loop: ", times, " turns; expected at least 1");
  ITO_CHECK(!capturing(), "capture_loop: the stream already captures; call end_capture first");
  if (times == 1 || !driver_has_loops()) {
    Graph graph = capture(launches);
    graph.impl()->launches = times;
    return graph;
  }
  std::unique_ptr<Graph::Impl, GraphDestroyer> loop(new Graph::Impl);
  loop->turns_left = static_cast<unsigned*>(device_allocate(sizeof(unsigned), "a loop's counter"));
  check_cuda(cudaGraphCreate(&loop->graph, 0), "capture_loop");

  cudaMemsetParams set{};
  set.dst = loop->turns_left;
  set.value = static_cast<unsigned>(times);
  set.elementSize = sizeof(unsigned);
  set.width = 1;
  set.height = 1;
  cudaGraphNode_t counter = nullptr, node = nullptr;
  check_cuda(cudaGraphAddMemsetNode(&counter, loop->graph, nullptr, 0, &set), "capture_loop");

  cudaGraphConditionalHandle condition{};
  check_cuda(cudaGraphConditionalHandleCreate(&condition, loop->graph, 1, cudaGraphCondAssignDefault), "capture_loop");
  cudaGraphNodeParams parameters{};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional.handle = condition;
  parameters.conditional.type = cudaGraphCondTypeWhile;
  parameters.conditional.size = 1;
  check_cuda(cudaGraphAddNode(&node, loop->graph, &counter, nullptr, 1, &parameters), "capture_loop");
  cudaGraph_t body = parameters.conditional.phGraph_out[0];

  check_cuda(cudaStreamBeginCaptureToGraph(impl_->handle, body, nullptr, nullptr, 0, cudaStreamCaptureModeThreadLocal),
             "capture_loop");
  impl_->capturing = true;
  try {
    launches();
    launch_loop_turn(*this, condition, loop->turns_left);
  } catch (...) {
    impl_->capturing = false;
    cudaGraph_t same = nullptr;
    (void)cudaStreamEndCapture(impl_->handle, &same);  // the body, which goes with the loop's graph
    (void)cudaGetLastError();
    throw;
  }
  impl_->capturing = false;
  cudaGraph_t same = nullptr;
  check_cuda(cudaStreamEndCapture(impl_->handle, &same), "capture_loop");
  check_cuda(cudaGraphGetNodes(body, nullptr, &loop->nodes), "capture_loop");
  loop->nodes -= 1;  // the turn's own kernel
  instantiate(*loop);
  Graph graph;
  graph.reset(std::unique_ptr<Graph::Impl>(loop.release()));
  return graph;
}

void Stream::replay(const Graph& graph) {
  ITO_CHECK(graph, "replay: the graph is empty; it was never captured");
  ITO_CHECK(!capturing(), "replay: a graph of ", graph.nodes(), " launches cannot be replayed while capturing");
  for (int i = 0; i < graph.impl()->launches; ++i)
    check_cuda(cudaGraphLaunch(graph.impl()->executable, impl_->handle), "graph launch");
}

void Stream::record(Event& event) {
  ITO_CHECK(!capturing(), "record: not allowed while capturing");
  check_cuda(cudaEventRecord(event.impl().handle, impl_->handle), "event record");
}

void Stream::wait(const Event& event) {
  ITO_CHECK(!capturing(), "wait: not allowed while capturing");
  check_cuda(cudaStreamWaitEvent(impl_->handle, event.impl().handle, 0), "event wait");
}

void Stream::synchronize() {
  ITO_CHECK(!capturing(), "synchronize: not allowed while capturing");
  check_cuda(cudaStreamSynchronize(impl_->handle), "synchronize");
}

void Stream::synchronize(const Event& event) {
  ITO_CHECK(!capturing(), "synchronize: not allowed while capturing");
  check_cuda(cudaEventSynchronize(event.impl().handle), "synchronize");
}

}  // namespace ito
