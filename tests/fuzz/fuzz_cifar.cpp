// SPDX-License-Identifier: Apache-2.0
// One .bin file of CIFAR-10, alone and as a data set.
#include "engine/data/load_dataset.h"
#include "engine/io/cifar.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_cifar(Bytes bytes) {
  static MemoryFile memory("a.bin");
  memory.set(bytes);
  attempt([&] { load_dataset(memory.path(), {.height = 8, .width = 8, .channels = 1}); });
  CifarImages images;
  attempt([&] { read_cifar_file(memory.path(), kCifar100, images); });
  images = {};
  read_cifar_file(memory.path(), kCifar10, images);
  demand(images.pixels.size() == images.labels.size() * kCifarPixels, "every label has its image");
}

}  // namespace ito
