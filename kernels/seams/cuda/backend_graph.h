// SPDX-License-Identifier: Apache-2.0
// A thin layer over cuDNN's backend API: descriptors that destroy themselves, operation graphs of one operation, the
// heuristics' candidates, execution plans. A graph is planned for a handle (the current card), or for a card described
// by JSON (its properties as cuDNN writes them), which needs no card: tests plan so.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/seams/cuda/library.h"
#include "kernels/seams/lanes/runner_refused.h"
#include "kernels/types.h"

namespace ito::cuda {

// A call of cuDNN that did not succeed: what was asked for, the status's name, and the library's own reason.
class CudnnError : public RunnerRefused {
 public:
  CudnnError(const Cudnn& api, const std::string& what, cudnnStatus_t status);
  cudnnStatus_t status;
};

// Tells a type of an attribute from the C++ type of its values.
template <class T>
constexpr cudnnBackendAttributeType_t attribute_type = CUDNN_TYPE_INT64;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendKnobType_t> = CUDNN_TYPE_KNOB_TYPE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<void*> = CUDNN_TYPE_VOID_PTR;

class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Cudnn& api, cudnnBackendDescriptorType_t type, std::string what);  // what: for errors
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept { swap(other); }
  Descriptor& operator=(Descriptor&& other) noexcept {
    swap(other);
    return *this;
  }
  cudnnBackendDescriptor_t get() const { return handle_; }
  const Cudnn& api() const { return *api_; }
  explicit operator bool() const { return handle_ != nullptr; }

  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  template <class T>
  void set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    set_raw(name, attribute_type<T>, static_cast<int64_t>(values.size()), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set_raw(name, attribute_type<T>, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.handle_);
  }
  void set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values);
  void finalize();

  int64_t count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const;
  template <class T>
  T value(cudnnBackendAttributeName_t name) const {
    T value{};
    get_raw(name, attribute_type<T>, 1, &value);
    return value;
  }
  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name) const {
    std::vector<T> found(static_cast<size_t>(count(name, attribute_type<T>)));
    if (!found.empty()) get_raw(name, attribute_type<T>, static_cast<int64_t>(found.size()), found.data());
    return found;
  }
  // Descriptors held by this one; cuDNN fills ones that the caller makes. At most `most` of them.
  std::vector<Descriptor> parts(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                int64_t most) const;

 private:
  int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  void* values) const;
  void check(cudnnStatus_t status, const char* doing, int name = -1) const;
  void swap(Descriptor& other) noexcept;

  const Cudnn* api_ = nullptr;
  cudnnBackendDescriptor_t handle_ = nullptr;
  std::string what_;
};

// What a graph is planned for: exactly one of the two is set.
struct Target {
  const Cudnn* api = nullptr;
  cudnnHandle_t handle = nullptr;
  const Descriptor* device = nullptr;
};
Descriptor describe_device(const Cudnn& api, const std::string& json);

struct TensorInfo {
  int64_t id = 0;  // by which execute() names it
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::vector<int64_t> dims, strides;  // elements
  int64_t alignment = 16;              // bytes that every pointer given for it is a multiple of
  bool by_value = false;               // a host scalar
};
Descriptor make_tensor(const Cudnn& api, const TensorInfo& info);

// One operation and all that it refers to.
struct OperationGraph {
  std::vector<Descriptor> parts;
  Descriptor operation, graph;
};
void finalize_graph(const Target& target, OperationGraph& graph);

// An engine with its knobs, in the library's numbers: with it the same kernel can be asked for again for another N.
struct EngineChoice {
  int64_t engine = -1;
  std::vector<std::pair<cudnnBackendKnobType_t, int64_t>> knobs;
  std::string name() const;  // "cudnn:engine 5, knobs 2=18 14=3"
};
std::optional<EngineChoice> engine_named(const std::string& name);  // the reverse
// Whether no knob is known to cut a sum by the size of the grid, which follows N.
bool cuts_no_sum(const EngineChoice& choice);

struct Candidate {
  EngineChoice choice;
  std::vector<cudnnBackendNumericalNote_t> notes;
};
// In the heuristics' order; empty where it has none.
std::vector<Candidate> heuristic_candidates(const Target& target, const OperationGraph& graph,
                                            cudnnBackendHeurMode_t mode, int64_t most);

// Runs on the device with pointers by tensor id.
class Plan {
 public:
  Plan(const Target& target, OperationGraph graph, const EngineChoice& choice);
  size_t workspace() const { return workspace_; }
  void execute(cudnnHandle_t handle, cudaStream_t stream, const std::vector<std::pair<int64_t, void*>>& tensors,
               void* workspace) const;

 private:
  OperationGraph graph_;
  Descriptor plan_;
  size_t workspace_ = 0;
};

}  // namespace ito::cuda
