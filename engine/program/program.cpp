// SPDX-License-Identifier: Apache-2.0
// See program.h. Building and running; planning.cpp derives the backward and the memory, op.cpp holds what the ops see.
#include "engine/program/program.h"

#include <algorithm>

#include "kernels/nn/pointwise.h"
#include "kernels/seams/ranges.h"

namespace ito {

Value Program::input(const std::string& name, int h, int w, int c, DType type, bool wants_gradient) {
  const Value v = add_value(name, {options_.n, h, w, c, type});
  values_[v.id].persistent = true;
  values_[v.id].info.wants_gradient = wants_gradient && options_.mode != Mode::Inference;
  return v;
}

Value Program::add_value(std::string name, const TensorShape& shape) {
  const auto& [n, h, w, c, type] = shape;
  ITO_CHECK(n > 0 && h > 0 && w > 0 && c > 0, name, ": a tensor of ", n, " x ", h, " x ", w, " x ", c);
  constexpr double kMostElements = 0x1p46;  // far from where the sums of bytes would wrap
  ITO_USER_CHECK(double{1} * n * h * w * c <= kMostElements, name, ": a tensor of ", n, " x ", h, " x ", w, " x ", c,
                 " numbers is larger than any memory; make the batch, the image or the model smaller");
  Stored stored;
  static_cast<TensorShape&>(stored.info) = shape;
  stored.info.name = std::move(name);
  values_.push_back(std::move(stored));
  return {static_cast<int>(values_.size()) - 1};
}

int Program::add_parameter(Parameter parameter) {
  for (size_t i = 0; i < declared_.size(); ++i)
    if (declared_[i].name == parameter.name) {
      ITO_CHECK(declared_[i].shape == parameter.shape, parameter.name, ": declared twice with different shapes");
      return static_cast<int>(i);
    }
  declared_.push_back(std::move(parameter));
  return static_cast<int>(declared_.size()) - 1;
}

Value Program::add(std::unique_ptr<Op> op, OpSpec spec) {
  spec.name.insert(0, prefix_);
  for (Parameter& parameter : spec.parameters) parameter.name.insert(0, prefix_);
  const Value result = add_value(spec.name, spec.result);
  op->outputs = {result};
  for (const OpSpec::Extra& extra : spec.statistics)
    op->outputs.push_back(add_value(spec.name + extra.suffix, extra.shape));
  op->saved = std::move(spec.saved);
  op->saved.insert(op->saved.end(), op->outputs.begin() + (spec.saves_result ? 0 : 1), op->outputs.end());
  op->name = std::move(spec.name);
  op->aside = aside_;
  op->inputs = std::move(spec.inputs);
  op->set_only = std::move(spec.set_only);
  op->passed_on = std::move(spec.passed_on);
  for (Parameter& parameter : spec.parameters) op->parameters.push_back(add_parameter(std::move(parameter)));
  bool wants = false;
  for (Value v : op->inputs) wants = wants || wants_gradient(v);
  if (options_.mode == Mode::Training)
    for (int p : op->parameters) wants = wants || declared_[p].trainable;
  for (Value v : op->outputs) values_[v.id].producer = static_cast<int>(ops_.size());
  values_[result.id].info.wants_gradient = wants;
  ops_.push_back(std::move(op));
  return result;
}

void Program::set_output(Value value) {
  output_ = value;
  values_.at(value.id).persistent = true;
}

ParameterLayout Program::declared() const {
  return ParameterLayout(declared_);
}

void Program::finish() {
  ITO_CHECK(output_, "a program without an output");
  layout_ = declared();
  for (const Parameter& p : declared_) {
    parameter_offsets_.push_back(layout_.find(p.name).offset);
    parameter_trainable_.push_back(p.trainable);
  }
  derive_gradients();
  for (size_t i = 0; i < ops_.size(); ++i) {
    const std::vector<int>& own = ops_[i]->parameters;
    const bool trained = options_.mode == Mode::Training &&
                         std::any_of(own.begin(), own.end(), [&](int p) { return parameter_trainable_[p]; });
    ops_[i]->prepare({trained, op_plans_[i].din_wanted});
  }
  connect_moments();
  connect_norms();
  plan_memory();
}

bool Program::reads_bf16_weights() const {
  return std::any_of(ops_.begin(), ops_.end(), [](const auto& op) { return op->reads_bf16_weights(); });
}

const bf16* Program::bf16_weights() const {
  return bf16_block_ < 0 ? given_bf16_weights_ : static_cast<const bf16*>(address(bf16_block_));
}

void Program::bind(const float* weights, float* gradients, char* memory, const bf16* bf16_weights) {
  ITO_CHECK((gradients != nullptr) == (options_.mode == Mode::Training), "gradients are for training mode only");
  ITO_CHECK((bf16_weights != nullptr) == (options_.bf16_weights_given && reads_bf16_weights()),
            "a bf16 copy of the weights is for a program that reads one and has it given");
  weights_ = weights;
  given_bf16_weights_ = bf16_weights;
  gradients_ = gradients;
  if (!memory && !own_arena_.data()) own_arena_ = DeviceBuffer<char>(plan_.bytes(), "the network's activations");
  arena_ = memory ? memory : own_arena_.data();
}

void Program::pack(Stream& stream) {
  if (bf16_block_ >= 0) convert(stream, {address(bf16_block_), DType::BF16}, weights_, layout_.arena_floats());
  for (size_t i = 0; i < ops_.size(); ++i) ops_[i]->pack(stream, OpData(*this, static_cast<int>(i)));
}

void Program::forward(Stream& stream) {
  in_backward_ = false;
  const Range pass("forward");
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
    if (!left_out(i)) {
      const Range range(ops_[i]->name);
      ops_[i]->forward(stream, OpData(*this, i));
    }
    poison_expired(stream, forward_time(i));
  }
}

KernelChoices Program::kernel_choices() const {
  KernelChoices all;
  for (const auto& op : ops_) all.merge(op->choices());
  return all;
}

void Program::set_gradients(float* gradients) {
  ITO_CHECK(options_.mode == Mode::Training && gradients, "gradients are for training mode only, and not null there");
  gradients_ = gradients;
}

void Program::backward(Stream& stream, const std::function<void(int)>& after_op) {
  ITO_CHECK(options_.mode != Mode::Inference, "backward of a program planned for inference");
  in_backward_ = true;
  const Range pass("backward");
  for (int i = static_cast<int>(ops_.size()) - 1; i >= 0; --i) {
    const bool wanted =
        std::any_of(ops_[i]->outputs.begin(), ops_[i]->outputs.end(), [&](Value v) { return wants_gradient(v); });
    if (wanted && !left_out(i)) {
      const Range range(ops_[i]->name);
      ops_[i]->backward(stream, OpData(*this, i));
      add_what_was_set(stream, i);
    }
    poison_expired(stream, backward_time(i));
    if (after_op) after_op(i);
  }
  in_backward_ = false;
}

void Program::add_what_was_set(Stream& stream, int op) {
  const OpPlan& p = op_plans_[op];
  for (int i : ops_[op]->set_only) {
    if (p.scratch_blocks[i] < 0 || !p.din_wanted[i]) continue;
    const Value v = ops_[op]->inputs[i];
    accumulate(stream, gradient(v), Write::Add, {address(p.scratch_blocks[i]), info(v).type}, 1.0f, info(v).count());
  }
}

void Program::poison_expired(Stream& stream, int time) {
  for (const MemoryBlock& block : plan_.blocks())
    if (block.last == time) poison(stream, arena_ + block.offset, block.bytes);
}

void* Program::address(int block) const {
  if (block < 0) return nullptr;
  ITO_CHECK(arena_, "a program that runs before bind");
  return arena_ + plan_.block(block).offset;
}

DataRef Program::data(Value v) const {
  const Stored& stored = values_.at(v.id);
  return {address(stored.block), stored.info.type};
}

DataRef Program::gradient(Value v) const {
  const Stored& stored = values_.at(v.id);
  return {address(stored.gradient_block), stored.info.type};
}

}  // namespace ito
