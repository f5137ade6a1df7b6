// SPDX-License-Identifier: Apache-2.0
// A safetensors file as a data set: as it is, resized, and in grey.
#include "engine/data/load_dataset.h"
#include "tests/fuzz/memory_file.h"

namespace ito {
namespace {

void use(const Dataset& data) {
  data.fingerprint();
  demand(data.class_count() >= 0, "the number of classes is not negative");
  std::vector<float> image(static_cast<size_t>(data.image_size()));
  data.image_f32(0, false, image.data());
  data.image_f32(data.count - 1, true, image.data());
}

}  // namespace

void fuzz_dataset(Bytes bytes) {
  static MemoryFile memory("a.safetensors");
  memory.set(bytes);
  attempt([&] { use(load_dataset(memory.path(), {.height = 8, .width = 4, .channels = 0})); });
  attempt([&] { use(load_dataset(memory.path(), {.channels = 1})); });
  use(load_dataset(memory.path()));
}

}  // namespace ito
