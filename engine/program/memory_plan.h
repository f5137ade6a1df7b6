// SPDX-License-Identifier: Apache-2.0
// One arena over many lifetimes: blocks whose lifetimes overlap never share an address.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ito {

// What a block holds. InputOutput: of the program, alive throughout.
enum class BlockKind : uint8_t { InputOutput, Activation, Gradient, Workspace, PackedWeights };
inline constexpr BlockKind kBlockKinds[] = {BlockKind::InputOutput, BlockKind::Activation, BlockKind::Gradient,
                                            BlockKind::Workspace, BlockKind::PackedWeights};
const char* name_of(BlockKind kind);  // "input and output", "activation", ...

struct MemoryBlock {
  std::string name;
  BlockKind kind = BlockKind::Activation;
  size_t bytes = 0;
  int first = 0, last = 0;  // times of the first write and the last read, both inclusive
  size_t offset = 0;        // set by the plan
};

class MemoryPlan {
 public:
  int add(MemoryBlock block);  // returns its index
  void solve();                // sets offsets: largest first, each at the lowest address free over its lifetime
  const MemoryBlock& block(int index) const { return blocks_.at(index); }
  const std::vector<MemoryBlock>& blocks() const { return blocks_; }
  size_t bytes() const { return bytes_; }  // of the arena
  size_t lower_bound() const;              // most bytes alive at one time: no plan can be smaller
  size_t bytes_of(BlockKind kind) const;   // sum over blocks of a kind, as if none were shared

 private:
  std::vector<MemoryBlock> blocks_;
  size_t bytes_ = 0;
};

}  // namespace ito
