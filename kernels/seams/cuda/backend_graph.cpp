// SPDX-License-Identifier: Apache-2.0
// cuDNN's backend API behind descriptors that check every status.
#include "kernels/seams/cuda/backend_graph.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace ito::cuda {
namespace {

std::string error_text(const Cudnn& api, const std::string& what, cudnnStatus_t status) {
  char reason[1024] = "";
  api.cudnnGetLastErrorString(reason, sizeof reason);
  const std::string line = std::string(reason).substr(0, std::string(reason).find('\n'));
  return join_text("cuDNN: ", what, ": ", api.cudnnGetErrorString(status), line.empty() ? "" : ": ", line);
}

}  // namespace

CudnnError::CudnnError(const Cudnn& api, const std::string& what, cudnnStatus_t status_)
    : RunnerRefused(error_text(api, what, status_)), status(status_) {}

Descriptor::Descriptor(const Cudnn& api, cudnnBackendDescriptorType_t type, std::string what)
    : api_(&api), what_(std::move(what)) {
  check(api.cudnnBackendCreateDescriptor(type, &handle_), "create");
}

Descriptor::~Descriptor() {
  if (handle_) api_->cudnnBackendDestroyDescriptor(handle_);
}

void Descriptor::swap(Descriptor& other) noexcept {
  std::swap(api_, other.api_);
  std::swap(handle_, other.handle_);
  std::swap(what_, other.what_);
}

void Descriptor::check(cudnnStatus_t status, const char* doing, int name) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw CudnnError(
      *api_,
      join_text(what_, ", ", doing, name < 0 ? "" : " attribute ", name < 0 ? std::string() : std::to_string(name)),
      status);
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                         const void* values) {
  check(api_->cudnnBackendSetAttribute(handle_, name, type, count, values), "set", name);
}

void Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor& value : values) handles.push_back(value.handle_);
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(handles.size()), handles.data());
}

void Descriptor::finalize() {
  check(api_->cudnnBackendFinalize(handle_), "finalize");
}

int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                            void* values) const {
  int64_t found = 0;
  check(api_->cudnnBackendGetAttribute(handle_, name, type, count, &found, values), "get", name);
  return found;
}

int64_t Descriptor::count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
  return get_raw(name, type, 0, nullptr);
}

std::vector<Descriptor> Descriptor::parts(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                          int64_t most) const {
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < most; ++i) {
    found.emplace_back(*api_, type, what_ + "'s part");
    handles.push_back(found.back().handle_);
  }
  const int64_t filled = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data());
  found.resize(static_cast<size_t>(std::min(filled, most)));
  return found;
}

Descriptor describe_device(const Cudnn& api, const std::string& json) {
  Descriptor device(api, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "the device's properties");
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::vector<char>(json.begin(), json.end()));
  device.finalize();
  return device;
}

Descriptor make_tensor(const Cudnn& api, const TensorInfo& info) {
  Descriptor tensor(api, CUDNN_BACKEND_TENSOR_DESCRIPTOR, join_text("tensor ", info.id));
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, info.id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, info.type);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, info.dims);
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, info.strides);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, info.alignment);
  if (info.by_value) tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  tensor.finalize();
  return tensor;
}

void finalize_graph(const Target& target, OperationGraph& graph) {
  graph.operation.finalize();
  graph.graph = Descriptor(*target.api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph");
  if (target.handle) graph.graph.set_raw(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
  graph.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operation);
  graph.graph.finalize();
}

std::string EngineChoice::name() const {
  std::string text = join_text("cudnn:engine ", engine);
  if (!knobs.empty()) text += ", knobs";
  for (const auto& [type, value] : knobs) text += join_text(" ", static_cast<int>(type), "=", value);
  return text;
}

std::optional<EngineChoice> engine_named(const std::string& name) {
  EngineChoice choice;
  std::istringstream text(name);
  std::string word;
  if (!(text >> word) || word != "cudnn:engine" || !(text >> choice.engine)) return std::nullopt;
  while (text >> word) {
    int knob = 0, read = 0;
    long long value = 0;
    if (word == "," || word == "knobs" || word == ",knobs") continue;
    if (std::sscanf(word.c_str(), "%d=%lld%n", &knob, &value, &read) != 2 || word.c_str()[read]) return std::nullopt;
    choice.knobs.emplace_back(static_cast<cudnnBackendKnobType_t>(knob), value);
  }
  return choice.name() == name ? std::optional(choice) : std::nullopt;
}

bool cuts_no_sum(const EngineChoice& choice) {
  for (const auto& [type, value] : choice.knobs) {
    switch (static_cast<int>(type)) {
      case CUDNN_KNOB_TYPE_STREAM_K:  // a tile's sum is cut where a block's share of all tiles ends
      case CUDNN_KNOB_TYPE_CTA_COUNT:
        if (value != 0) return false;
        break;
      case CUDNN_KNOB_TYPE_SPLIT_K:  // -1 leaves it to the engine
      case CUDNN_KNOB_TYPE_SPLIT_K_BUF:
      case CUDNN_KNOB_TYPE_SPLIT_K_SLC:
        if (value < 0 || value > 1) return false;
        break;
      case CUDNN_KNOB_TYPE_WORKSPACE:  // 0: the tiles left over after whole waves may be summed in parts
        if (value == 0) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

std::vector<Candidate> heuristic_candidates(const Target& target, const OperationGraph& graph,
                                            cudnnBackendHeurMode_t mode, int64_t most) {
  Descriptor heuristics(*target.api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "engine heuristics");
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (target.device) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.device);
  heuristics.finalize();
  std::vector<Candidate> candidates;
  for (const Descriptor& config :
       heuristics.parts(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, most)) {
    Candidate candidate;
    const std::vector<Descriptor> engine =
        config.parts(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engine.empty()) continue;
    candidate.choice.engine = engine[0].value<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    candidate.notes = engine[0].values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
    for (const Descriptor& knob :
         config.parts(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
      candidate.choice.knobs.emplace_back(knob.value<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                                          knob.value<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

Plan::Plan(const Target& target, OperationGraph graph, const EngineChoice& choice) : graph_(std::move(graph)) {
  const Cudnn& api = *target.api;
  const std::string name = choice.name();
  Descriptor engine(api, CUDNN_BACKEND_ENGINE_DESCRIPTOR, name);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph_.graph);
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine);
  if (target.device) engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *target.device);
  engine.finalize();
  std::vector<Descriptor> knobs;
  for (const auto& [type, value] : choice.knobs) {
    knobs.emplace_back(api, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, name);
    knobs.back().set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, type);
    knobs.back().set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    knobs.back().finalize();
  }
  Descriptor config(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, name);
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!knobs.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs);
  config.finalize();
  plan_ = Descriptor(api, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, name);
  if (target.handle) plan_.set_raw(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
  if (target.device) plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.device);
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  plan_.finalize();
  const int64_t bytes = plan_.value<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  ITO_CHECK(bytes >= 0, "cuDNN: ", name, ": a workspace of ", bytes, " bytes");
  workspace_ = static_cast<size_t>(bytes);
}

void Plan::execute(cudnnHandle_t handle, cudaStream_t stream, const std::vector<std::pair<int64_t, void*>>& tensors,
                   void* workspace) const {
  const Cudnn& api = plan_.api();
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const auto& [id, pointer] : tensors) {
    ids.push_back(id);
    pointers.push_back(pointer);
  }
  Descriptor pack(api, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "tensors of a plan");
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace_ > 0 ? workspace : nullptr);
  pack.finalize();
  if (const cudnnStatus_t status = api.cudnnSetStream(handle, stream); status != CUDNN_STATUS_SUCCESS)
    throw CudnnError(api, "set stream", status);
  if (const cudnnStatus_t status = api.cudnnBackendExecute(handle, plan_.get(), pack.get());
      status != CUDNN_STATUS_SUCCESS)
    throw CudnnError(api, "execute a plan", status);
}

}  // namespace ito::cuda
