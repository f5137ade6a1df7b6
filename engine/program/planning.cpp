// SPDX-License-Identifier: Apache-2.0
// See program.h. The backward is derived from the list of ops, lifetimes from both passes, and one arena from those.
#include <algorithm>

#include "engine/program/program.h"

namespace ito {

void Program::derive_gradients() {
  op_plans_.resize(ops_.size());
  std::vector<bool> written(values_.size(), false), parameter_written(declared_.size(), false);
  for (int i = static_cast<int>(ops_.size()) - 1; i >= 0; --i) {
    const Op& op = *ops_[i];
    for (Value v : op.outputs) {
      const bool supplied = written[v.id] || v == output_;
      ITO_CHECK(supplied || !wants_gradient(v), op.name, ": ", info(v).name, " is not used, so it has no gradient");
    }
    for (Value v : op.inputs) {
      op_plans_[i].din_wanted.push_back(wants_gradient(v));
      op_plans_[i].din_writes.push_back(written[v.id] ? Write::Add : Write::Set);
      const int producer = values_[v.id].producer;
      ITO_CHECK(!op.aside || !wants_gradient(v) || written[v.id] || (producer >= 0 && ops_[producer]->aside), op.name,
                ": is set aside, and first to write the gradient of ", info(v).name,
                ", which nobody would when it is left out; append it before the others that read that");
      written[v.id] = true;
    }
    pass_gradient_on(i);
    if (options_.mode != Mode::Training) continue;
    for (int p : op.parameters) {
      // Two ops' sums over images, added at the end, would not be one tree (kernels/sum_tree.h).
      ITO_USER_CHECK(!parameter_written[p] || !declared_[p].trainable, op.name, ": shares ", declared_[p].name,
                     " with another op; training a shared parameter is not implemented, give each op its own");
      parameter_written[p] = true;
    }
  }
  for (size_t id = 0; id < values_.size(); ++id) {
    const Stored& s = values_[id];
    const bool unread = s.producer < 0 && !written[id] && Value{static_cast<int>(id)} != output_;
    ITO_CHECK(!unread || !s.info.wants_gradient, "input ", s.info.name, " is not used, so it has no gradient");
  }
}

// The result's gradient is not read again after the op's backward, so that an input that is its first to write takes it
// over. The caller fills in the output's, which stays his.
void Program::pass_gradient_on(int op) {
  const Op& o = *ops_[op];
  OpPlan& p = op_plans_[op];
  const Value result = o.outputs.front();
  if (result == output_ || !wants_gradient(result)) return;
  for (int i : o.passed_on) {
    const Value v = o.inputs.at(i);
    ITO_CHECK(info(v).count() == info(result).count() && info(v).type == info(result).type, o.name, ": input ", i,
              " has not the result's shape, so it cannot have its gradient");
    if (!p.din_wanted[i] || p.din_writes[i] != Write::Set || std::ranges::count(o.inputs, v) != 1) continue;
    p.passed_on = i;
    values_[v.id].gradient_of = result.id;
    return;
  }
}

void Program::connect_moments() {
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i)
    for (size_t input = 0; input < ops_[i]->inputs.size(); ++input) {
      if (!ops_[i]->reads_moments(static_cast<int>(input))) continue;
      const Value v = ops_[i]->inputs[input];
      const int producer = values_[v.id].producer;
      if (producer >= 0 && v == ops_[producer]->outputs.front() && ops_[producer]->moment_rows() > 0)
        op_plans_[producer].moments_last_reader = i;
    }
}

// A norm's result that one op alone reads, as its input 0.
void Program::connect_norms() {
  std::vector<int> readers(values_.size(), 0);
  for (const auto& op : ops_)
    for (Value v : op->inputs) ++readers[v.id];
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
    if (ops_[i]->norm_rows() == 0 || !op_plans_[i].din_wanted.at(0)) continue;
    const Value v = ops_[i]->inputs.front();
    const int norm = values_[v.id].producer;
    if (norm < 0 || !ops_[norm]->is_norm() || readers[v.id] != 1 || v == output_) continue;
    op_plans_[i].norm = norm;
    op_plans_[norm].sums_rows = ops_[i]->norm_rows();
  }
}

void Program::plan_memory() {
  const bool backward = options_.mode != Mode::Inference;
  plan_values(backward);
  plan_gradients();
  plan_ops(backward);
  if (reads_bf16_weights() && !options_.bf16_weights_given)
    bf16_block_ = plan_.add({"weights in bf16", BlockKind::PackedWeights,
                             static_cast<size_t>(layout_.arena_floats()) * sizeof(bf16), 0, backward_time(0) + 1});
  plan_.solve();
}

void Program::plan_values(bool backward) {
  std::vector<int> last_read(values_.size(), -1);
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
    for (Value v : ops_[i]->inputs) last_read[v.id] = std::max(last_read[v.id], forward_time(i));
    for (Value v : ops_[i]->outputs) last_read[v.id] = std::max(last_read[v.id], forward_time(i));
    if (backward)
      for (Value v : ops_[i]->saved) last_read[v.id] = std::max(last_read[v.id], backward_time(i));
  }
  for (size_t id = 0; id < values_.size(); ++id) {
    Stored& s = values_[id];
    if (s.absent) continue;
    const int first = s.persistent ? 0 : forward_time(s.producer);
    const int last = s.persistent ? backward_time(0) + 1 : last_read[id];
    s.block = plan_.add(
        {s.info.name, s.persistent ? BlockKind::InputOutput : BlockKind::Activation, s.info.bytes(), first, last});
  }
}

void Program::plan_gradients() {
  std::vector<int> last_consumer(values_.size(), -1);
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i)
    for (Value v : ops_[i]->inputs) last_consumer[v.id] = i;
  const auto keeper = [&](int id) {  // whose memory a gradient is in
    while (values_[id].gradient_of >= 0) id = values_[id].gradient_of;
    return id;
  };
  std::vector<int> last(values_.size(), 0);
  const auto wanted = [&](size_t id) { return values_[id].info.wants_gradient && !values_[id].absent; };
  const auto is_output = [&](size_t id) { return Value{static_cast<int>(id)} == output_; };
  for (size_t id = 0; id < values_.size(); ++id) {
    if (!wanted(id)) continue;
    const bool stays = values_[id].producer < 0 || is_output(id);
    int& until = last[keeper(static_cast<int>(id))];
    until = std::max(until, stays ? backward_time(0) + 1 : backward_time(values_[id].producer));
  }
  for (size_t id = 0; id < values_.size(); ++id) {
    Stored& s = values_[id];
    if (!wanted(id) || s.gradient_of >= 0) continue;
    const int first = is_output(id) ? 0 : backward_time(last_consumer[id]);
    s.gradient_block = plan_.add({"d " + s.info.name, BlockKind::Gradient, s.info.bytes(), first, last[id]});
  }
  for (size_t id = 0; id < values_.size(); ++id)
    if (wanted(id)) values_[id].gradient_block = values_[keeper(static_cast<int>(id))].gradient_block;
}

void Program::plan_ops(bool backward) {
  const int end = backward_time(0) + 1;
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
    const Op& op = *ops_[i];
    OpPlan& p = op_plans_[i];
    const int forward = forward_time(i), back = backward_time(i);
    if (size_t bytes = op.forward_workspace())
      p.forward_block = plan_.add({op.name, BlockKind::Workspace, bytes, forward, forward});
    if (size_t bytes = backward ? op.backward_workspace() : 0)
      p.backward_block = plan_.add({op.name, BlockKind::Workspace, bytes, back, back});
    if (backward) plan_scratch(i);
    if (size_t bytes = op.packed_bytes()) {
      const int twin = packed_alike(i);
      p.packed_block =
          twin >= 0 ? op_plans_[twin].packed_block : plan_.add({op.name, BlockKind::PackedWeights, bytes, 0, end});
    }
    if (size_t bytes = op.kept_bytes())
      p.kept_block = plan_.add({op.name + " kept", BlockKind::Activation, bytes, forward, backward ? back : forward});
    if (p.norm >= 0) {
      const ValueInfo& normed = info(op.inputs.front());
      const size_t bytes = sizeof(float) * 3 * normed.n * normed.c;
      p.chain_block = plan_.add({op.name + " chain", BlockKind::Workspace, bytes, back, back});
      OpPlan& norm = op_plans_[p.norm];
      norm.sums_block = plan_.add(
          {ops_[p.norm]->name + " sums", BlockKind::Workspace, bytes * norm.sums_rows, back, backward_time(p.norm)});
    }
    if (p.moments_last_reader >= 0) {
      const ValueInfo& result = info(op.outputs.front());
      const size_t bytes = sizeof(float) * 2 * op.moment_rows() * result.n * result.c;
      p.moments_block =
          plan_.add({op.name + " moments", BlockKind::Activation, bytes, forward, forward_time(p.moments_last_reader)});
    }
  }
}

// An earlier op that packs the same bytes, or -1: a network that is asked twice has its weights once. What a layer
// packs is a function of its parameters, its shape and the kernels that these two chose.
int Program::packed_alike(int op) const {
  const Op& b = *ops_[op];
  if (b.parameters.empty()) return -1;  // constants, which may differ
  for (int i = 0; i < op; ++i) {
    const Op& a = *ops_[i];
    if (a.parameters != b.parameters || std::string_view(a.kind()) != b.kind() || a.packed_bytes() != b.packed_bytes())
      continue;
    const TensorShape &x = info(a.inputs.front()), &y = info(b.inputs.front());
    if (x == y && a.describe() == b.describe()) return i;
  }
  return -1;
}

void Program::plan_scratch(int op) {
  OpPlan& p = op_plans_[op];
  p.scratch_blocks.assign(p.din_writes.size(), -1);
  for (int i : ops_[op]->set_only)
    if (!p.din_wanted.at(i) || p.din_writes[i] == Write::Add)
      p.scratch_blocks[i] =
          plan_.add({"d " + info(ops_[op]->inputs[i]).name + " of " + ops_[op]->name, BlockKind::Workspace,
                     info(ops_[op]->inputs[i]).bytes(), backward_time(op), backward_time(op)});
}

}  // namespace ito
