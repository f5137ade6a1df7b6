// SPDX-License-Identifier: Apache-2.0
// See memory_plan.h. Blocks are placed largest first, each at the lowest free offset of its lifetime.
#include "engine/program/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "kernels/types.h"

namespace ito {

const char* name_of(BlockKind kind) {
  constexpr const char* kNames[] = {"input and output", "activation", "gradient", "workspace", "packed weights"};
  return kNames[static_cast<int>(kind)];
}

int MemoryPlan::add(MemoryBlock block) {
  blocks_.push_back(std::move(block));
  return static_cast<int>(blocks_.size()) - 1;
}

void MemoryPlan::solve() {
  std::vector<int> order(blocks_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return blocks_[a].bytes > blocks_[b].bytes; });
  std::vector<int> placed;
  bytes_ = 0;
  for (int index : order) {
    MemoryBlock& block = blocks_[index];
    std::vector<std::pair<size_t, size_t>> taken;
    for (int other_index : placed) {
      const MemoryBlock& other = blocks_[other_index];
      if (other.first <= block.last && block.first <= other.last)
        taken.emplace_back(other.offset, other.offset + aligned(other.bytes));
    }
    std::sort(taken.begin(), taken.end());
    size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + aligned(block.bytes) <= begin) break;
      offset = std::max(offset, end);
    }
    block.offset = offset;
    bytes_ = std::max(bytes_, offset + aligned(block.bytes));
    placed.push_back(index);
  }
}

size_t MemoryPlan::lower_bound() const {
  std::map<int, int64_t> change;
  for (const MemoryBlock& block : blocks_) {
    change[block.first] += static_cast<int64_t>(aligned(block.bytes));
    change[block.last + 1] -= static_cast<int64_t>(aligned(block.bytes));
  }
  int64_t alive = 0, most = 0;
  for (const auto& [time, delta] : change) most = std::max(most, alive += delta);
  return static_cast<size_t>(most);
}

size_t MemoryPlan::bytes_of(BlockKind kind) const {
  size_t sum = 0;
  for (const MemoryBlock& block : blocks_)
    if (block.kind == kind) sum += aligned(block.bytes);
  return sum;
}

}  // namespace ito
