// SPDX-License-Identifier: Apache-2.0
// Streams, events and captured graphs on a GPU.
#include "kernels/seams/cuda/stream.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "kernels/seams/profiler.h"

#if ITO_NVTX
#include <nvtx3/nvToolsExtCudaRt.h>
#endif

namespace ito {
namespace {

// Conditional nodes came with CUDA 12.4.
bool graph_loops() {
  const char* text = std::getenv("ITO_GRAPH_LOOPS");
  if (text && std::strcmp(text, "0") == 0) return false;
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess && version >= 12040;
}

std::atomic<bool>& blocking_launches() {
  static std::atomic<bool> blocking = [] {
    const char* text = std::getenv("ITO_BLOCKING_LAUNCHES");
    return text && std::strcmp(text, "1") == 0;
  }();
  return blocking;
}

void instantiate(Graph::Impl& graph) {
  check_cuda(cudaGraphInstantiate(&graph.executable, graph.graph, 0), "graph instantiation");
}

// A failed capture, brought to its end; its graph goes with `owner` or here.
void abandon_capture(Stream::Impl& stream, cudaGraph_t owner) {
  stream.capturing = false;
  cudaGraph_t left = nullptr;
  (void)cudaStreamEndCapture(stream.handle, &left);
  if (left && left != owner) (void)cudaGraphDestroy(left);
  (void)cudaGetLastError();
}

struct GraphDestroyer {
  void operator()(Graph::Impl* impl) const {
    Graph graph;
    graph.reset(std::unique_ptr<Graph::Impl>(impl));
  }
};

}  // namespace

void fail_cuda(cudaError_t status, const char* name) {
  (void)cudaGetLastError();  // reported here, so not once more under the next launch's name
  const std::string ranges = open_range_names();
  const char* advice = "";
  if (status == cudaErrorMemoryAllocation) {
    advice = "; use a smaller batch or micro-batch, or end what else uses the card";
  } else if (status == cudaErrorECCUncorrectable) {
    advice = "; the card's memory is faulty: reset the card, then go on from the last checkpoint";
  } else if (status == cudaErrorIllegalAddress || status == cudaErrorLaunchFailure || status == cudaErrorAssert ||
             status == cudaErrorMisalignedAddress || status == cudaErrorIllegalInstruction) {
    advice = "; some launch before this point failed: for its name run eagerly, with ITO_BLOCKING_LAUNCHES=1";
  }
  fail(name, ranges.empty() || ranges == name ? "" : " (" + ranges + ")", ": ", cudaGetErrorName(status), ": ",
       cudaGetErrorString(status), advice);
}

void check_launch(Stream& stream, const char* name) {
  check_cuda(cudaGetLastError(), name);
  if (blocking_launches() && !stream.capturing()) check_cuda(cudaStreamSynchronize(stream.impl().handle), name);
}

void wait_for_each_launch(bool wait) {
  blocking_launches() = wait;
}

void fail_shared_memory(size_t bytes, const char* name) {
  (void)cudaGetLastError();
  fail(name, ": a block needs ", bytes, " bytes of shared memory, more than ", device_name(), " gives one");
}

#if ITO_NVTX
void name_for_profiler(cudaStream_t stream, const char* name) {
  nvtxNameCudaStreamA(stream, name);
}
void name_for_profiler(cudaEvent_t event, const char* name) {
  nvtxNameCudaEventA(event, name);
}
#else
void name_for_profiler(cudaStream_t, const char*) {}
void name_for_profiler(cudaEvent_t, const char*) {}
#endif

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

Event::Event(const char* name) : impl_(std::make_unique<Impl>()) {
  require_device();
  check_cuda(cudaEventCreateWithFlags(&impl_->handle, cudaEventDisableTiming), "event");
  name_for_profiler(impl_->handle, name);
}
Event::~Event() {
  if (impl_->handle) (void)cudaEventDestroy(impl_->handle);
}

Stream::Stream(const char* name) : impl_(std::make_unique<Impl>()) {
  require_device();
  check_cuda(cudaStreamCreateWithFlags(&impl_->handle, cudaStreamNonBlocking), "stream");
  name_for_profiler(impl_->handle, name);
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
  if (impl_->joined) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check_cuda(cudaStreamIsCapturing(impl_->handle, &status), "capturing");
    impl_->joined = status != cudaStreamCaptureStatusNone;
  }
  return impl_->capturing || impl_->joined;
}

bool streams_overlap() {
  return true;
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
  ITO_CHECK(impl_->capturing, "end_capture: the stream does not capture; call begin_capture first");
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
    abandon_capture(*impl_, nullptr);
    throw;
  }
  return end_capture();
}

namespace {

// Set the counter, then a while node whose body is the launches and the kernel that counts the turn: one launch runs
// all turns. Errors of the launches themselves leave as they are; null where CUDA refuses the node.
std::unique_ptr<Graph::Impl, GraphDestroyer> while_graph(Stream& stream, int times,
                                                         const std::function<void()>& launches) {
  std::unique_ptr<Graph::Impl, GraphDestroyer> loop(new Graph::Impl);
  loop->turns_left = static_cast<unsigned*>(device_allocate(sizeof(unsigned), "a loop's counter"));
  cudaMemsetParams set{};
  set.dst = loop->turns_left;
  set.value = static_cast<unsigned>(times);
  set.elementSize = sizeof(unsigned);
  set.width = 1;
  set.height = 1;
  cudaGraphNode_t counter = nullptr, node = nullptr;
  cudaGraphConditionalHandle condition{};
  cudaGraphNodeParams parameters{};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional.type = cudaGraphCondTypeWhile;
  parameters.conditional.size = 1;
  cudaError_t status = cudaGraphCreate(&loop->graph, 0);
  if (status == cudaSuccess) status = cudaGraphAddMemsetNode(&counter, loop->graph, nullptr, 0, &set);
  if (status == cudaSuccess)
    status = cudaGraphConditionalHandleCreate(&condition, loop->graph, 1, cudaGraphCondAssignDefault);
  parameters.conditional.handle = condition;
  if (status == cudaSuccess) status = cudaGraphAddNode(&node, loop->graph, &counter, nullptr, 1, &parameters);
  cudaGraph_t body = status == cudaSuccess ? parameters.conditional.phGraph_out[0] : nullptr;
  if (status == cudaSuccess)
    status = cudaStreamBeginCaptureToGraph(stream.impl().handle, body, nullptr, nullptr, 0,
                                           cudaStreamCaptureModeThreadLocal);
  if (status == cudaSuccess) {
    stream.impl().capturing = true;
    try {
      launches();
      launch_loop_turn(stream, condition, loop->turns_left);
    } catch (...) {
      abandon_capture(stream.impl(), body);
      throw;
    }
    stream.impl().capturing = false;
    cudaGraph_t same = nullptr;
    status = cudaStreamEndCapture(stream.impl().handle, &same);
  }
  if (status == cudaSuccess) status = cudaGraphGetNodes(body, nullptr, &loop->nodes);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&loop->executable, loop->graph, 0);
  // What a first launch would do and might refuse, done while there is another way.
  if (status == cudaSuccess) status = cudaGraphUpload(loop->executable, stream.impl().handle);
  if (status == cudaSuccess) status = cudaStreamSynchronize(stream.impl().handle);
  if (status == cudaSuccess) {
    loop->nodes -= 1;  // the turn's own kernel
    return loop;
  }
  (void)cudaGetLastError();
  warn("no loop inside a graph (", cudaGetErrorName(status), ": ", cudaGetErrorString(status),
       "): the host launches every turn");
  return nullptr;
}

}  // namespace

// A loop inside the graph, or the turns one by one where there is none (older drivers, a body with other nodes than it
// may hold, ITO_GRAPH_LOOPS=0): either way nothing waits.
Graph Stream::capture_loop(int times, const std::function<void()>& launches) {
  ITO_CHECK(times >= 1, "capture_loop: ", times, " turns; expected at least 1");
  ITO_CHECK(!capturing(), "capture_loop: the stream already captures; call end_capture first");
  if (times > 1 && graph_loops()) {
    if (auto loop = while_graph(*this, times, launches)) {
      Graph graph;
      graph.reset(std::unique_ptr<Graph::Impl>(loop.release()));
      return graph;
    }
  }
  Graph graph = capture(launches);
  graph.impl()->launches = times;
  return graph;
}

void Stream::replay(const Graph& graph) {
  ITO_CHECK(graph, "replay: the graph is empty; it was never captured");
  ITO_CHECK(!capturing(), "replay: a graph of ", graph.nodes(), " launches cannot be replayed while capturing");
  for (int i = 0; i < graph.impl()->launches; ++i)
    check_cuda(cudaGraphLaunch(graph.impl()->executable, impl_->handle), "graph launch");
}

void Stream::record(Event& event) {
  event.impl().captured = capturing();
  check_cuda(cudaEventRecord(event.impl().handle, impl_->handle), "event record");
}

void Stream::wait(const Event& event) {
  const bool captured = event.impl().captured;
  ITO_CHECK(captured || !capturing(), "wait: the event is of no work of the capture");
  check_cuda(cudaStreamWaitEvent(impl_->handle, event.impl().handle, 0), "event wait");
  impl_->joined = captured && !impl_->capturing;
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
