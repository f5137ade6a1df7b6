// SPDX-License-Identifier: Apache-2.0
// A network as a list of ops for fixed sizes. A model writes its forward once, as calls of the functions in
// engine/ops/; the program derives the backward by walking the list in reverse, gives a tensor used n times one
// Write::Set and n-1 Write::Add, drops the gradients nobody wants, and plans one arena over all lifetimes.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/program/device_buffer.h"
#include "engine/program/memory_plan.h"
#include "engine/program/op.h"
#include "engine/program/parameters.h"

namespace ito {

enum class Mode : uint8_t {
  Inference,      // forward only
  Training,       // gradients of parameters
  InputGradient,  // gradients of the inputs marked so, none of parameters (likelihood, guidance)
};

struct ProgramOptions {
  int n = 1;  // images of the inputs; other tensors have what their op makes of it
  Mode mode = Mode::Inference;
  DType compute = DType::F32;
  // The weights' bf16 copy is the caller's, where an op reads it: bind takes it. Else the program makes its own in
  // pack.
  bool bf16_weights_given = false;
};

class Program {
 public:
  explicit Program(const ProgramOptions& options) : options_(options) {}

  // Building. Inputs and outputs live throughout; everything else shares the arena.
  Value input(const std::string& name, int h, int w, int c, DType type, bool wants_gradient = false);
  Value add(std::unique_ptr<Op> op, OpSpec spec);  // appends the op; returns its result
  // Begins the names of the ops and parameters appended from here on: for a network beside one of the same names.
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }
  // Whether the ops appended from here on may be left out of a pass (leave_out_aside): whoever reads what they make
  // knows at which passes it counts for nothing. Returns what held before.
  bool set_aside(bool aside) { return std::exchange(aside_, aside); }
  void set_output(Value value);
  // Before finish(). Tells the ops that make rows of `cause` alone, each row of its own (Op::by_rows), from the rest,
  // and drops one of the two; parameters stay declared. Returns what the former make and the latter read: inputs if the
  // rest is kept, else alive throughout. Nothing is dropped where there is no such value.
  enum class Keep : uint8_t { Rest, RowsOfCause };
  std::vector<Value> split(Value cause, Keep keep);
  ParameterLayout declared() const;  // of the ops so far; needs no finish()
  // Derives the backward, makes what the ops run with (Op::prepare) and plans memory; nothing is allocated yet.
  void finish();

  const ProgramOptions& options() const { return options_; }
  const ValueInfo& info(Value v) const { return values_.at(v.id).info; }
  const ParameterLayout& layout() const { return layout_; }  // once finished
  const MemoryPlan& plan() const { return plan_; }
  const std::vector<std::unique_ptr<Op>>& ops() const { return ops_; }
  KernelChoices kernel_choices() const;  // of its ops, once finished
  bool reads_bf16_weights() const;       // any op; once finished
  bool wants_gradient(Value v) const { return v && values_.at(v.id).info.wants_gradient; }

  const Parameter& parameter(int declared) const { return declared_.at(declared); }  // as Op::parameters numbers them
  // Whether the backward sets the gradient of an op's input or adds to it; once finished.
  Write gradient_write(int op, int input) const { return op_plans_.at(op).din_writes.at(input); }

  // Running. bind takes the arenas of the parameters (gradients null unless training) and allocates what the plan says,
  // unless it is given that memory: plan().bytes() at least, aligned to 256 bytes. Programs may share it that are run
  // one after the other; each is packed anew after another has run. bf16_weights: the whole arena of weights rounded,
  // for a program that has them given and reads them, kept so by the caller; else null.
  void bind(const float* weights, float* gradients, char* memory = nullptr, const bf16* bf16_weights = nullptr);
  void pack(Stream& stream);  // after every change of the weights
  void forward(Stream& stream);
  // The caller has filled gradient(output). Sets the parameters' gradients: the sums over these images. The ops go from
  // the last to the first; after each one's launches after_op is called with its number, for launches of the caller's
  // that read the gradients that are finished (each is one op's).
  void backward(Stream& stream, const std::function<void(int)>& after_op = {});
  // Whether the following passes leave out the ops that were set aside: what these make is not defined then, nor is
  // their part of a gradient, which no op before them may set (a backward adds theirs to what is there).
  void leave_out_aside(bool leave_out) { leaves_out_aside_ = leave_out; }
  // Another arena for the gradients of the following backwards: passes over one batch are joined by the caller.
  void set_gradients(float* gradients);

  // Which images the following launches work on (dropout's masks depend on it).
  void set_counter(const SampleCounter& counter) { counter_ = counter; }

  Value output() const { return output_; }
  DataRef data(Value v) const;
  DataRef gradient(Value v) const;  // null when not wanted

 private:
  friend class OpData;
  struct Stored {
    ValueInfo info;
    int producer = -1;  // op; -1: an input
    bool persistent = false;
    bool absent = false;                  // dropped by split: has no memory
    int gradient_of = -1;                 // the value whose gradient is its own too, in the same memory
    int block = -1, gradient_block = -1;  // in the plan
  };
  struct OpPlan {
    std::vector<Write> din_writes;  // Set or Add, per input
    std::vector<bool> din_wanted;
    std::vector<int> scratch_blocks;  // per input; of those whose gradient is set and then added or dropped
    int passed_on = -1;               // the input whose gradient stays where the result's is
    int moments_last_reader = -1;     // op; -1: nobody reads moments of the result
    int norm = -1;                    // op: the norm that made input 0, whose first step this op's backward does
    int sums_rows = 0;                // of a norm whose first step another op does
    int forward_block = -1, backward_block = -1, packed_block = -1, kept_block = -1, moments_block = -1,
        chain_block = -1, sums_block = -1;
  };

  Value add_value(std::string name, const TensorShape& shape);
  int add_parameter(Parameter parameter);
  void derive_gradients();
  void pass_gradient_on(int op);
  void connect_moments();
  void connect_norms();
  void plan_memory();
  void plan_values(bool backward);
  void plan_gradients();
  void plan_ops(bool backward);
  int packed_alike(int op) const;
  void plan_scratch(int op);
  void add_what_was_set(Stream& stream, int op);
  void* address(int block) const;
  const bf16* bf16_weights() const;
  bool left_out(int op) const { return leaves_out_aside_ && ops_[op]->aside; }
  void poison_expired(Stream& stream, int time);
  int forward_time(int op) const { return 1 + op; }
  int loss_time() const { return 1 + static_cast<int>(ops_.size()); }
  int backward_time(int op) const { return 2 * static_cast<int>(ops_.size()) + 1 - op; }

  ProgramOptions options_;
  std::string prefix_;
  bool aside_ = false, leaves_out_aside_ = false;
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
  const bf16* given_bf16_weights_ = nullptr;
  int bf16_block_ = -1;  // in the plan; of a program that makes its own copy
  float* gradients_ = nullptr;
  SampleCounter counter_;
  bool in_backward_ = false;
};

}  // namespace ito
