// SPDX-License-Identifier: Apache-2.0
// What an op sees of the program while it runs: addresses by the plan.
#include <algorithm>

#include "engine/program/program.h"
#include "kernels/seams/conv.h"

namespace ito {

ConstDataRef OpData::in(int i) const {
  return program_.data(program_.ops_[op_]->inputs.at(i));
}

DataRef OpData::out(int i) const {
  return program_.data(program_.ops_[op_]->outputs.at(i));
}

ConstDataRef OpData::dout(int i) const {
  return program_.gradient(program_.ops_[op_]->outputs.at(i));
}

DataRef OpData::din(int i) const {
  const Value v = program_.ops_[op_]->inputs.at(i);
  return program_.op_plans_[op_].din_wanted[i] ? program_.gradient(v) : DataRef(nullptr, program_.info(v).type);
}

DataRef OpData::settable_din(int i) const {
  const Program::OpPlan& plan = program_.op_plans_[op_];
  const Value v = program_.ops_[op_]->inputs.at(i);
  if (plan.scratch_blocks.at(i) >= 0) return {program_.address(plan.scratch_blocks[i]), program_.info(v).type};
  const std::vector<int>& set_only = program_.ops_[op_]->set_only;
  ITO_CHECK(std::find(set_only.begin(), set_only.end(), i) != set_only.end(), program_.ops_[op_]->name, ": input ", i,
            " is not listed in set_only, but its gradient is to be set");
  return program_.gradient(v);
}

bool OpData::passes_on(int i) const {
  return program_.op_plans_[op_].passed_on == i;
}

Write OpData::din_write(int i) const {
  return program_.op_plans_[op_].din_writes.at(i);
}

const float* OpData::parameter(int i) const {
  return program_.weights_ + program_.parameter_offsets_[program_.ops_[op_]->parameters.at(i)];
}

const bf16* OpData::bf16_parameter(int i) const {
  const bf16* weights = program_.bf16_weights();
  return weights ? weights + program_.parameter_offsets_[program_.ops_[op_]->parameters.at(i)] : nullptr;
}

float* OpData::dparameter(int i) const {
  const int p = program_.ops_[op_]->parameters.at(i);
  if (!program_.gradients_ || !program_.parameter_trainable_[p]) return nullptr;
  return program_.gradients_ + program_.parameter_offsets_[p];
}

void* OpData::workspace() const {
  const Program::OpPlan& plan = program_.op_plans_[op_];
  return program_.address(program_.in_backward_ ? plan.backward_block : plan.forward_block);
}

void* OpData::kept() const {
  return program_.address(program_.op_plans_[op_].kept_block);
}

Moments OpData::moments(int i) const {
  const Value v = program_.ops_[op_]->inputs.at(i);
  const int producer = program_.values_[v.id].producer;
  if (producer < 0 || program_.op_plans_[producer].moments_block < 0) return {};
  return {static_cast<const float*>(program_.address(program_.op_plans_[producer].moments_block)),
          program_.ops_[producer]->moment_rows()};
}

float* OpData::moments_out() const {
  return static_cast<float*>(program_.address(program_.op_plans_[op_].moments_block));
}

NormBefore OpData::norm_before(Stream& stream) const {
  const Program::OpPlan& plan = program_.op_plans_[op_];
  NormBefore norm;
  if (plan.norm < 0) return norm;
  auto* chain = static_cast<float*>(program_.address(plan.chain_block));
  program_.ops_[plan.norm]->describe_norm(stream, OpData(program_, plan.norm), chain, norm);
  norm.chain = chain;
  norm.sums = static_cast<float*>(program_.address(program_.op_plans_[plan.norm].sums_block));
  return norm;
}

const float* OpData::norm_sums(int* rows) const {
  const Program::OpPlan& plan = program_.op_plans_[op_];
  *rows = plan.sums_rows;
  return static_cast<const float*>(program_.address(plan.sums_block));
}

const SampleCounter& OpData::counter() const {
  return program_.counter_;
}

void* OpData::packed() const {
  return program_.address(program_.op_plans_[op_].packed_block);
}

}  // namespace ito
