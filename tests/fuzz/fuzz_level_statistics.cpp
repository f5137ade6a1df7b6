// SPDX-License-Identifier: Apache-2.0
// statistics.json, a model's squared errors by timestep: whatever is accepted gives numbers, or says what it lacks.
#include "engine/diffusion/level_statistics.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_level_statistics(Bytes bytes) {
  constexpr int kTimesteps = 3;
  static MemoryFile memory("statistics.json");
  memory.set(bytes);
  const LevelStatistics statistics = read_level_statistics(memory.path(), kTimesteps);
  for (int t = 0; t < kTimesteps; ++t) {
    attempt([&] { statistics.error_at(t, "a sampler"); });
    attempt([&] { statistics.mix_at(t, "a sampler"); });
  }
  const std::string text = json_text(json_of(statistics));
  memory.set({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  demand(json_of(read_level_statistics(memory.path(), kTimesteps)) == json_of(statistics),
         "statistics survive writing and reading");
}

}  // namespace ito
