// SPDX-License-Identifier: Apache-2.0
// A program cut in two where rows that depend on one input alone enter the rest, so that they can be made elsewhere.
#include <algorithm>

#include "engine/program/program.h"

namespace ito {

std::vector<Value> Program::split(Value cause, Keep keep) {
  ITO_CHECK(op_plans_.empty(), "a program is split before it is finished");
  std::vector<bool> of_cause(values_.size(), false), read_by_rest(values_.size(), false), moves(ops_.size(), false);
  of_cause[cause.id] = true;
  for (size_t i = 0; i < ops_.size(); ++i) {
    const Op& op = *ops_[i];
    moves[i] = op.by_rows() && info(op.outputs.front()).n == options_.n &&
               std::all_of(op.inputs.begin(), op.inputs.end(), [&](Value v) { return of_cause[v.id]; });
    for (Value v : op.outputs) of_cause[v.id] = moves[i];
    if (!moves[i])
      for (Value v : op.inputs) read_by_rest[v.id] = true;
  }
  std::vector<Value> border;
  for (size_t id = 0; id < values_.size(); ++id)
    if (values_[id].producer >= 0 && of_cause[id] && read_by_rest[id]) border.push_back({static_cast<int>(id)});
  if (border.empty()) return border;

  std::vector<std::unique_ptr<Op>> kept;
  std::vector<bool> used(values_.size(), false);
  for (size_t i = 0; i < ops_.size(); ++i) {
    const bool stays = moves[i] == (keep == Keep::RowsOfCause);
    for (Value v : ops_[i]->outputs) {
      values_[v.id].producer = stays ? static_cast<int>(kept.size()) : -1;
      used[v.id] = stays;
    }
    if (!stays) continue;
    for (Value v : ops_[i]->inputs) used[v.id] = true;
    kept.push_back(std::move(ops_[i]));
  }
  ops_ = std::move(kept);
  if (keep == Keep::RowsOfCause) output_ = border.front();
  for (Value v : border) values_[v.id].persistent = true;
  // Inputs of the whole stay with the rest even where it has no use for them: whoever calls it fills them in.
  for (size_t id = 0; id < values_.size(); ++id) {
    const bool input_of_whole = values_[id].producer < 0 && !of_cause[id] && values_[id].persistent;
    values_[id].absent = !used[id] && !(keep == Keep::Rest && (input_of_whole || Value{static_cast<int>(id)} == cause));
  }
  return border;
}

}  // namespace ito
