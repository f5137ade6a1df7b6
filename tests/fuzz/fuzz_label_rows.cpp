// SPDX-License-Identifier: Apache-2.0
// Real-valued labels of images to draw, of one number an image and of three.
#include <cmath>

#include "engine/data/label_rows.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_label_rows(Bytes bytes) {
  static MemoryFile memory("labels.safetensors");
  memory.set(bytes);
  const auto use = [&](int64_t width) {
    const std::vector<float> rows = read_label_rows(memory.path(), width);
    demand(!rows.empty() && rows.size() % static_cast<size_t>(width) == 0, "there are rows, and all are whole");
    for (const float number : rows) demand(std::isfinite(number), "labels are finite");
  };
  if (!attempt([&] { use(3); })) use(1);
}

}  // namespace ito
