// SPDX-License-Identifier: Apache-2.0
// What an op is and what it sees: the tensors of a program, the interface that every file of engine/ops implements, and
// the addresses that the program hands to it. An op reads the batch size of its inputs from them, so that one op may
// repeat or fold the batch and all others go on.
#pragma once
#include <string>
#include <vector>

#include "engine/program/parameters.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"
#include "kernels/seams/kernel_table.h"
#include "kernels/types.h"

namespace ito {

struct NormBefore;

// Activations are (N, H, W, C) in the compute type; rows are (N, 1, 1, C) in fp32, class numbers (N, 1, 1, 1) in int32.
struct TensorShape {
  int n = 1, h = 1, w = 1, c = 1;
  DType type = DType::F32;
  int64_t row() const { return int64_t{1} * h * w * c; }  // elements an image
  int64_t count() const { return n * row(); }
  size_t bytes() const { return static_cast<size_t>(count()) * size_of(type); }
  bool operator==(const TensorShape&) const = default;
};

inline constexpr int kLevelWidth = 2;  // numbers that say where an image stands: alpha and sigma

// A tensor of a program.
struct Value {
  int id = -1;
  explicit operator bool() const { return id >= 0; }
  bool operator==(const Value&) const = default;
};

struct ValueInfo : TensorShape {
  std::string name;
  bool wants_gradient = false;
};

class Program;

// Of a tensor's rounded values, per image, row of pixels and channel: the mean, and the sum of squared distances from
// it. (N, rows, C, 2); null where nobody made them.
struct Moments {
  const float* data = nullptr;
  int rows = 0;
  explicit operator bool() const { return data; }
};

// What an op sees while it runs: addresses of its tensors, in the order it declared them.
class OpData {
 public:
  OpData(const Program& program, int op) : program_(program), op_(op) {}
  ConstDataRef in(int i) const;
  DataRef out(int i) const;
  ConstDataRef dout(int i) const;
  // The gradient of an input, which the op sets or adds to as din_write says; null when not wanted.
  DataRef din(int i) const;
  Write din_write(int i) const;
  // The same for an input that the op listed in OpSpec::set_only. The op always sets it: the program adds it where it
  // is to be added and drops it where it is not wanted. Never null.
  DataRef settable_din(int i) const;
  // Whether the gradient of an input is the result's, where it stands: the op has nothing to do (OpSpec::passed_on).
  bool passes_on(int i) const;
  const float* parameter(int i) const;
  // The same rounded to bf16, in the same layout, current since the last pack: for an op whose reads_bf16_weights says
  // so, null for others of a program that has none.
  const bf16* bf16_parameter(int i) const;
  // Null when not wanted. Set to the sum over the images, in the order of kernels/sum_tree.h; no other op has it.
  float* dparameter(int i) const;
  void* workspace() const;
  void* packed() const;
  void* kept() const;
  Moments moments(int i) const;  // of an input (Op::reads_moments)
  float* moments_out() const;    // to be set (Op::moment_rows); null: not wanted
  // In a backward, the norm that made input 0 and wants its first step done with that input's gradient (Op::norm_rows);
  // without a chain: none does.
  NormBefore norm_before(Stream& stream) const;
  // In such a norm's backward: the sums, over so many rows of pixels, with dz in dout's place; null: dout is dout.
  const float* norm_sums(int* rows) const;
  const SampleCounter& counter() const;  // which images these are: for dropout

 private:
  const Program& program_;
  int op_;
};

// The gradients that an op will be asked for.
struct WantedGradients {
  bool parameters = false;   // of any
  std::vector<bool> inputs;  // of each
};

// What an op does, for counting it: its result; the gradients of its inputs; those of its parameters.
enum class Part : uint8_t { Forward, Data, Weight };

class Op {
 public:
  virtual ~Op() = default;
  virtual const char* kind() const = 0;
  // Makes what running needs beside memory, such as a library's plans. Called once, before the sizes below are asked
  // for, and never where only names and shapes are wanted.
  virtual void prepare(const WantedGradients&) {}
  virtual void forward(Stream& stream, const OpData& data) = 0;
  virtual void backward(Stream& stream, const OpData& data) = 0;
  // Bytes of scratch during forward or backward, and of packed weights kept between uses.
  virtual size_t forward_workspace() const { return 0; }
  virtual size_t backward_workspace() const { return 0; }
  virtual size_t packed_bytes() const { return 0; }
  // Of what the forward makes for itself and the backward reads again.
  virtual size_t kept_bytes() const { return 0; }
  virtual void pack(Stream&, const OpData&) {}
  // Once it is prepared: what `inspect` prints beside the op, and which kernels it chose where there is a choice.
  virtual std::string describe() const { return {}; }
  virtual KernelChoices choices() const { return {}; }
  // Times what it could choose on these images; prepared before. For whoever makes a kernel table.
  virtual std::vector<KernelTiming> time_choices() const { return {}; }
  // Whether it reads OpData::bf16_parameter. One copy of all weights is made for all ops that do. Asked once the op is
  // prepared.
  virtual bool reads_bf16_weights() const { return false; }
  // Whether row n of what it makes is a function of row n of what it reads, with the same bits whatever N is: such rows
  // can be made ahead of the calls that read them (Program::split).
  virtual bool by_rows() const { return false; }
  // Once prepared: whether it makes moments of its result on the way, an image in so many rows of pixels (0: no), and
  // whether it has use for those of an input. The program brings the two together.
  virtual int moment_rows() const { return 0; }
  virtual bool reads_moments(int) const { return false; }
  // The like in the backward: into how many rows of pixels it cuts an image where the gradient of input 0 takes in the
  // first step of the norm that made it (0: it does not), and what such a norm says of itself, with its chain written.
  virtual int norm_rows() const { return 0; }
  virtual bool is_norm() const { return false; }
  virtual void describe_norm(Stream&, const OpData&, float* /*chain*/, NormBefore&) const {}
  virtual double flop(Part) const { return 0; }  // of its matrix products (engine/program/cost.h)

  // Filled in by Program::add from the OpSpec.
  std::string name;
  std::vector<Value> inputs;
  std::vector<Value> outputs;   // the first is the result; others (statistics) are never differentiated
  std::vector<int> parameters;  // indices into the program's declared parameters
  std::vector<Value> saved;     // of inputs and outputs: what the backward reads
  std::vector<int> set_only;    // inputs whose gradient the op can only set
  std::vector<int> passed_on;   // inputs whose gradient is the result's
  bool aside = false;           // a pass may leave it out (Program::set_aside)
};

// An op's place in a program: what it reads, what it makes, what its backward reads again.
struct OpSpec {
  struct Extra {
    const char* suffix;  // of its name
    TensorShape shape;
  };
  std::string name;  // the layer's path in parameter files, e.g. down_blocks.0.resnets.0.conv1
  std::vector<Value> inputs;
  TensorShape result;
  std::vector<Value> saved = {};  // inputs that the backward reads
  bool saves_result = false;
  std::vector<Parameter> parameters = {};  // a name declared before is the same, shared where it is not trained
  std::vector<Extra> statistics = {};      // further outputs, kept for the backward
  std::vector<int> set_only = {};          // see OpData::settable_din
  std::vector<int> passed_on = {};         // inputs that are added to the result as they are: see OpData::passes_on
};

}  // namespace ito
