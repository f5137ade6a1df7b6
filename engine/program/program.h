// SPDX-License-Identifier: Apache-2.0
// A network as a list of ops for a fixed batch size. A model writes its forward once, as calls of the functions in
// engine/ops/; the program derives the backward by walking the list in reverse, gives a tensor used n times one
// Write::Set and n-1 Write::Add, drops the gradients nobody wants, and plans one arena over all lifetimes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/program/device_buffer.h"
#include "engine/program/memory_plan.h"
#include "engine/program/parameters.h"
#include "kernels/random/sample_counter.h"
#include "kernels/types.h"

namespace ito {

enum class Mode : uint8_t {
  Inference,      // forward only
  Training,       // gradients of parameters
  InputGradient,  // gradients of the inputs marked so, none of parameters (likelihood, guidance)
};

// A tensor of the program: activations (N, H, W, C) in the compute type; rows (N, 1, 1, C) are always fp32.
struct Value {
  int id = -1;
  explicit operator bool() const { return id >= 0; }
  bool operator==(const Value&) const = default;
};

struct ValueInfo {
  std::string name;
  int h = 1, w = 1, c = 1;
  DType type = DType::F32;
  bool wants_gradient = false;
  int64_t row() const { return int64_t{1} * h * w * c; }  // elements an image
};

class Program;

// What an op sees while it runs: addresses of its tensors, in the order it declared them.
class OpData {
 public:
  OpData(const Program& program, int op) : program_(program), op_(op) {}
  int n() const;
  ConstDataRef in(int i) const;
  DataRef out(int i) const;
  ConstDataRef dout(int i) const;
  DataRef din(int i) const;  // null when not wanted
  Write din_write(int i) const;
  const float* parameter(int i) const;
  float* dparameter(int i) const;  // null when not wanted
  Write parameter_write() const;
  void* workspace() const;
  void* packed() const;
  const SampleCounter& counter() const;  // which images these are: for dropout

 private:
  const Program& program_;
  int op_;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual const char* kind() const = 0;
  virtual void forward(Stream& stream, const OpData& data) = 0;
  virtual void backward(Stream& stream, const OpData& data) = 0;
  // Bytes of scratch during forward or backward, and of packed weights kept between uses.
  virtual size_t forward_workspace() const { return 0; }
  virtual size_t backward_workspace() const { return 0; }
  virtual size_t packed_bytes() const { return 0; }
  virtual void pack(Stream&, const OpData&) {}
  virtual std::string describe() const { return {}; }  // what `inspect` prints beside the op

  std::string name;  // the layer's path, e.g. down_blocks.0.resnets.0.conv1
  std::vector<Value> inputs;
  std::vector<Value> outputs;   // the first is the result; others (statistics) are never differentiated
  std::vector<int> parameters;  // indices into the program's declared parameters
  std::vector<Value> saved;     // of inputs and outputs: what the backward reads
};

struct ProgramOptions {
  int n = 1;
  Mode mode = Mode::Inference;
  DType compute = DType::F32;
};

class Program {
 public:
  explicit Program(const ProgramOptions& options) : options_(options) {}

  // Building. Inputs and outputs live throughout; everything else shares the arena.
  Value input(const std::string& name, int h, int w, int c, DType type, bool wants_gradient = false);
  Value add_value(const std::string& name, int h, int w, int c, DType type);
  int add_parameter(Parameter parameter);  // a name declared before is the same parameter, shared
  void add_op(std::unique_ptr<Op> op);
  void set_output(Value value);
  void finish();  // derives the backward and plans memory; nothing is allocated yet

  const ProgramOptions& options() const { return options_; }
  const ValueInfo& info(Value v) const { return values_.at(v.id).info; }
  const ParameterLayout& layout() const { return layout_; }
  const MemoryPlan& plan() const { return plan_; }
  const std::vector<std::unique_ptr<Op>>& ops() const { return ops_; }
  bool wants_gradient(Value v) const { return v && values_.at(v.id).info.wants_gradient; }

  // Running. bind takes the arenas of the parameters (gradients null unless training) and allocates what the plan says,
  // unless it is given that memory: plan().bytes() at least, aligned to 256 bytes. Programs may share it that are run
  // one after the other; each is packed anew after another has run.
  void bind(const float* weights, float* gradients, char* memory = nullptr);
  void pack(Stream& stream);  // after every change of the weights
  void forward(Stream& stream);
  // The caller has filled gradient(output). Parameter gradients replace (Set) or add to (Add) what the arena holds.
  void backward(Stream& stream, Write parameter_write = Write::Set);

  // Which images the following launches work on (dropout's masks depend on it).
  void set_counter(const SampleCounter& counter) { counter_ = counter; }

  Value find_input(const std::string& name) const;  // invalid when absent
  Value output() const { return output_; }
  DataRef data(Value v) const;
  DataRef gradient(Value v) const;  // null when not wanted

 private:
  friend class OpData;
  struct Stored {
    ValueInfo info;
    int producer = -1;  // op; -1: an input
    bool persistent = false;
    int block = -1, gradient_block = -1;  // in the plan
  };
  struct OpPlan {
    std::vector<Write> din_writes;  // Set or Add, per input
    std::vector<bool> din_wanted;
    bool shares_parameter = false;  // its parameters, with an op whose backward runs earlier: gradients add
    int forward_block = -1, backward_block = -1, packed_block = -1;
  };

  void derive_gradients();
  void plan_memory();
  void* address(int block) const;
  void poison_expired(Stream& stream, int time);
  int forward_time(int op) const { return 1 + op; }
  int loss_time() const { return 1 + static_cast<int>(ops_.size()); }
  int backward_time(int op) const { return 2 * static_cast<int>(ops_.size()) + 1 - op; }

  ProgramOptions options_;
  std::vector<Stored> values_;
  std::vector<Parameter> declared_;
  std::vector<int64_t> parameter_offsets_;
  std::vector<bool> parameter_trainable_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<OpPlan> op_plans_;
  Value output_;
  ParameterLayout layout_;
  MemoryPlan plan_;
  DeviceBuffer<char> own_arena_;
  char* arena_ = nullptr;
  const float* weights_ = nullptr;
  float* gradients_ = nullptr;
  Write parameter_write_ = Write::Set;
  SampleCounter counter_;
  bool in_backward_ = false;
};

}  // namespace ito
