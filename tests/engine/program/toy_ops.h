// SPDX-License-Identifier: Apache-2.0
// Ops small enough to differentiate by eye, which write down what the program asked of them.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/program/program.h"
#include "kernels/nn/pointwise.h"

namespace ito::test {

// What one backward was asked: per input null (not wanted), Set or Add; the same of the parameter, if there is one.
enum class Asked : uint8_t { Nothing, Set, Add };

struct Call {
  std::string op;
  std::vector<Asked> inputs;
  std::vector<Asked> parameters;
};
using Journal = std::vector<Call>;

// y = factor * (sum of the inputs) + sum of the parameters, each parameter as long as y (so n is 1 where there are
// any). Output 1, if wanted, is a copy of the first input, as statistics would be.
class ToyOp : public Op {
 public:
  ToyOp(int64_t count, float factor, Journal* journal) : count_(count), factor_(factor), journal_(journal) {}
  const char* kind() const override { return "toy"; }

  void forward(Stream& stream, const OpData& data) override {
    for (size_t i = 0; i < inputs.size(); ++i)
      accumulate(stream, data.out(0), i ? Write::Add : Write::Set, data.in(static_cast<int>(i)), factor_, count_);
    for (size_t i = 0; i < parameters.size(); ++i)
      accumulate(stream, data.out(0), Write::Add, data.parameter(static_cast<int>(i)), 1.0f, count_);
    if (outputs.size() > 1) accumulate(stream, data.out(1), Write::Set, data.in(0), 1.0f, count_);
  }

  void backward(Stream& stream, const OpData& data) override {
    Call call{name, {}, {}};
    for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
      const DataRef dx = data.din(i);
      call.inputs.push_back(asked(static_cast<bool>(dx), data.din_write(i)));
      if (dx) accumulate(stream, dx, data.din_write(i), data.dout(0), factor_, count_);
    }
    for (int i = 0; i < static_cast<int>(parameters.size()); ++i) {
      float* dp = data.dparameter(i);
      call.parameters.push_back(asked(dp, Write::Set));
      if (dp) accumulate(stream, dp, Write::Set, data.dout(0), 1.0f, count_);
    }
    journal_->push_back(call);
  }

 private:
  static Asked asked(bool wanted, Write write) {
    if (!wanted) return Asked::Nothing;
    return write == Write::Set ? Asked::Set : Asked::Add;
  }

  int64_t count_;
  float factor_;
  Journal* journal_;
};

// y = x^2; dx = 2 x dy, which needs x to be saved.
class SquareOp : public Op {
 public:
  explicit SquareOp(int64_t count) : count_(count) {}
  const char* kind() const override { return "square"; }
  void forward(Stream& stream, const OpData& data) override { multiply(stream, data.out(0), data.in(0), data.in(0)); }
  void backward(Stream& stream, const OpData& data) override {
    multiply(stream, data.din(0), data.in(0), data.dout(0));
    accumulate(stream, data.din(0), Write::Set, data.din(0), 2.0f, count_);
  }

 private:
  // y = a b, one element a row: x / (1 / b) with the one division there is.
  void multiply(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b) {
    const std::vector<float> ones(static_cast<size_t>(count_), 1.0f);
    DeviceBuffer<float> one(ones.size(), "ones"), inverse(ones.size(), "inverse");
    one.upload(stream, ones.data());
    divide_rows(stream, inverse.data(), Write::Set, one.data(), b.as<float>(), static_cast<int>(count_), 1);
    divide_rows(stream, y, Write::Set, a, inverse.data(), static_cast<int>(count_), 1);
  }
  int64_t count_;
};

struct ToyOptions {
  float factor = 1.0f;
  std::vector<std::string> parameters = {};
  bool statistics = false;
  bool frozen = false;
};

inline Value toy(Program& program, Journal& journal, const std::string& name, std::vector<Value> inputs,
                 const ToyOptions& options = {}) {
  const ValueInfo in = program.info(inputs.at(0));
  OpSpec spec{name, std::move(inputs), in};
  for (const std::string& p : options.parameters) {
    Parameter parameter{p, ParameterKind::Vector, {in.row()}, Initial::Zeros};
    parameter.trainable = !options.frozen;
    spec.parameters.push_back(parameter);
  }
  if (options.statistics) spec.statistics = {{" statistics", in}};
  return program.add(std::make_unique<ToyOp>(in.count(), options.factor, &journal), std::move(spec));
}

// declares: whether the op says that it saves x.
inline Value square(Program& program, const std::string& name, Value x, bool declares) {
  const ValueInfo in = program.info(x);
  OpSpec spec{name, {x}, in};
  if (declares) spec.saved = {x};
  return program.add(std::make_unique<SquareOp>(in.count()), std::move(spec));
}

}  // namespace ito::test
