// SPDX-License-Identifier: Apache-2.0
// A kernel table: kernels.json of a checkpoint, or of a tuning run. Mutations do not survive its hash, so the bytes are
// also read with the hash that belongs to them.
#include "engine/checkpoint/kernel_table_file.h"
#include "tests/fuzz/memory_file.h"

namespace ito {
namespace {

KernelTable table_of(MemoryFile& memory, const Json& json) {
  const std::string text = json_text(json);
  memory.set({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return read_kernel_table(memory.path());
}

bool has_texts_alone(const Json& json) {
  if (!json.is_object() || !json.contains("choices") || !json["choices"].is_object()) return false;
  for (const Json& name : json["choices"])
    if (!name.is_string()) return false;
  return json.contains("device") && json["device"].is_string();
}

}  // namespace

void fuzz_kernel_table(Bytes bytes) {
  static MemoryFile memory("kernels.json");
  attempt([&] {
    Json json = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "kernels.json");
    if (!has_texts_alone(json)) return;
    const KernelTable table{"", json["device"], json["choices"].get<KernelChoices>()};
    json["hash"] = hash_of(table);
    demand(table_of(memory, json).choices == table.choices, "a table is read with its hash");
  });
  memory.set(bytes);
  const KernelTable table = read_kernel_table(memory.path());
  const KernelTable again = table_of(memory, json_of(table));
  demand(again.device == table.device && again.choices == table.choices, "a table survives writing and reading");
}

}  // namespace ito
