// SPDX-License-Identifier: Apache-2.0
// The index of a packed data set's shards, beside one shard. (A packed file itself goes through fuzz_dataset.)
#include <filesystem>

#include "engine/data/load_dataset.h"
#include "engine/data/pack.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_packed(Bytes bytes) {
  static MemoryFile memory("a.safetensors.index.json");
  static const bool packed = [] {
    Dataset data;
    data.name = "two";
    data.count = 2;
    data.height = data.width = data.channels = 1;
    data.pixels = {7, 200};
    data.labels = {1, 0};
    const std::filesystem::path folder = std::filesystem::path(memory.path()).parent_path();
    pack_dataset(data, {(folder / "b.safetensors").string(), 2, 1});
    return true;
  }();
  demand(packed, "there is a shard");
  memory.set(bytes);
  const Dataset data = load_dataset(memory.path());
  std::vector<float> image(static_cast<size_t>(data.image_size()));  // bytes may be of another format, told by content
  data.image_f32(0, false, image.data());
  data.image_f32(data.count - 1, true, image.data());
}

}  // namespace ito
