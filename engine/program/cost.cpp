// SPDX-License-Identifier: Apache-2.0
// See cost.h. The bytes follow from what an op reads, makes, saves and which gradients are wanted of it.
#include "engine/program/cost.h"

namespace ito {
namespace {

double bytes_of(const Program& program, const std::vector<Value>& values) {
  double bytes = 0;
  for (const Value v : values) bytes += static_cast<double>(program.info(v).bytes());
  return bytes;
}

double parameter_bytes(const Program& program, const Op& op, DType type) {
  double count = 0;
  for (const int p : op.parameters) count += static_cast<double>(program.parameter(p).count());
  return count * static_cast<double>(size_of(type));
}

}  // namespace

bool has_weight_part(const Op& op) {
  return op.flop(Part::Weight) > 0;
}

Cost cost_of(const Program& program, int index, Part part) {
  const Op& op = *program.ops().at(index);
  const ValueInfo& result = program.info(op.outputs.front());
  Cost cost;
  if (part == Part::Forward) {
    cost.flop = op.flop(Part::Forward);
    cost.bytes =
        bytes_of(program, op.inputs) + bytes_of(program, op.outputs) + parameter_bytes(program, op, result.type);
    return cost;
  }
  const Mode mode = program.options().mode;
  if (mode == Mode::Inference || !program.wants_gradient(op.outputs.front())) return cost;
  const bool apart = has_weight_part(op);
  bool trained = false;
  for (const int p : op.parameters) trained = trained || (mode == Mode::Training && program.parameter(p).trainable);
  const double dresult = static_cast<double>(result.bytes());
  if (part == Part::Weight) {
    if (!apart || !trained) return cost;
    cost.flop = op.flop(Part::Weight);
    cost.bytes = dresult + bytes_of(program, op.saved) + parameter_bytes(program, op, DType::F32);
    return cost;
  }
  double written = 0;
  for (int i = 0; i < static_cast<int>(op.inputs.size()); ++i) {
    if (!program.wants_gradient(op.inputs[i])) continue;
    const double bytes = static_cast<double>(program.info(op.inputs[i]).bytes());
    written += program.gradient_write(index, i) == Write::Add ? 2 * bytes : bytes;
  }
  if (program.wants_gradient(op.inputs.front())) cost.flop = op.flop(Part::Data);
  if (!apart && trained) written += parameter_bytes(program, op, DType::F32);
  if (written == 0) return cost;
  cost.bytes = dresult + written + parameter_bytes(program, op, result.type);
  if (!apart) cost.bytes += bytes_of(program, op.saved);
  return cost;
}

Cost cost_of(const Program& program, Part part) {
  Cost sum;
  for (int i = 0; i < static_cast<int>(program.ops().size()); ++i) sum += cost_of(program, i, part);
  return sum;
}

}  // namespace ito
