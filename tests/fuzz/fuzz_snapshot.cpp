// SPDX-License-Identifier: Apache-2.0
// What training goes on from, ito_state.safetensors, of a network of a filter, a matrix of old names and a frozen
// vector; and the same bytes as the network's weights alone.
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/weights.h"
#include "tests/fuzz/memory_file.h"

namespace ito {
namespace {

ParameterLayout small_layout() {
  Parameter filter, matrix, frozen;
  filter.name = "f", filter.kind = ParameterKind::Convolution, filter.shape = {2, 1, 1, 2};
  matrix.name = "m.to_q.w", matrix.kind = ParameterKind::Linear, matrix.shape = {2, 3};
  frozen.name = "v", frozen.shape = {2}, frozen.trainable = false;
  return ParameterLayout({filter, matrix, frozen});
}

}  // namespace

void fuzz_snapshot(Bytes bytes) {
  static MemoryFile memory("state.safetensors");
  static const ParameterLayout layout = small_layout();
  const auto whole = static_cast<size_t>(layout.arena_floats());
  memory.set(bytes);
  attempt([&] { demand(read_weights(memory.path(), layout).size() == whole, "weights are an arena"); });
  const TrainingSnapshot state = read_snapshot(memory.path(), layout);
  for (const ArenaPart* part : {&state.weights, &state.first_moment, &state.second_moment})
    demand(part->values.size() == whole, "weights and moments are arenas");
  demand_one_line(state.kernels.empty() ? "none" : state.kernels);
  demand(state.level_losses.losses.size() % std::max<size_t>(1, state.level_losses.counts.size()) == 0,
         "every level has as many losses");
}

}  // namespace ito
