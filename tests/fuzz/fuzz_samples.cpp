// SPDX-License-Identifier: Apache-2.0
// Samples that are judged: a safetensors file of floats or an npz archive of bytes, told by the bytes.
#include <cmath>

#include "tests/fuzz/memory_file.h"
#include "tools/commands/read_samples.h"

namespace ito {

void fuzz_samples(Bytes bytes) {
  static MemoryFile memory("samples.safetensors");
  memory.set(bytes);
  const Samples samples = read_samples(memory.path(), size_t{1} << 26);
  demand(samples.images.size() == static_cast<size_t>(samples.count * samples.image.size()), "images are whole");
  for (const float number : samples.images) demand(std::isfinite(number), "samples are finite");
}

}  // namespace ito
