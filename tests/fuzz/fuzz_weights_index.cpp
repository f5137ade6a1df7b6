// SPDX-License-Identifier: Apache-2.0
// The index of a model's shards, beside one shard. (A shard itself goes through fuzz_safetensors.)
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/checkpoint/weight_files.h"
#include "tests/fuzz/memory_file.h"

namespace ito {
namespace {

// The shard has one tensor, `a`, of two numbers.
void write_shard(const std::string& path) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  std::ofstream file(path, std::ios::binary);
  for (int i = 0; i < 8; ++i) file.put(static_cast<char>(i == 0 ? header.size() : 0));
  file << header << std::string(8, '\0');
}

}  // namespace

void fuzz_weights_index(Bytes bytes) {
  static MemoryFile memory("a.safetensors.index.json");
  static const bool there = [] {
    write_shard((std::filesystem::path(memory.path()).parent_path() / "b.safetensors").string());
    return true;
  }();
  demand(there, "there is a shard");
  memory.set(bytes);
  const WeightFiles weights = WeightFiles::open(memory.path());
  demand(weights.names() == std::vector<std::string>{"a"}, "an index has the tensors of its shards, and no others");
  demand(weights.read_floats("a").size() == 2, "a tensor is read from its shard");
}

}  // namespace ito
