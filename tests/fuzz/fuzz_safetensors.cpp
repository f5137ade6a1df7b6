// SPDX-License-Identifier: Apache-2.0
// Opening, and then every way of reading every tensor.
#include "engine/io/safetensors.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_safetensors(Bytes bytes) {
  static MemoryFile memory("a.safetensors");
  memory.set(bytes);
  const SafetensorsFile file = SafetensorsFile::open(memory.path());
  for (const std::string& name : file.names()) {
    const SafetensorsFile::Entry& entry = file.entry(name);
    const auto count = static_cast<size_t>(entry.element_count());
    demand(file.read_raw(name).size() == count * size_of(entry.type), "a tensor has as many bytes as its shape needs");
    attempt([&] { demand(file.read_f32(name).size() == count, "a tensor is read whole"); });
    attempt([&] { file.read_i64(name); });
    attempt([&] { file.read_i64(name, true); });
    file.check_shape(name, entry.shape);
    demand(!attempt([&] {
      file.check_shape(name, {1, 2, 3, 4, 5, 6});
    }) || entry.shape.size() == 6,
           "a wrong shape is refused");
  }
  attempt([&] { file.entry("conv_in.weight"); });
}

}  // namespace ito
