// SPDX-License-Identifier: Apache-2.0
// A zip archive: every member unpacked, and as a data set, in memory and not.
#include "engine/data/load_dataset.h"
#include "engine/io/zip_archive.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_zip(Bytes bytes) {
  static MemoryFile memory("a.zip");
  memory.set(bytes);
  const ZipArchive archive = ZipArchive::open(memory.path(), 1 << 16, "files");
  for (const ZipArchive::Member& member : archive.members())
    attempt([&] { demand(archive.unpack(member).size() == member.bytes, "a member is unpacked whole"); });
  attempt([&] {
    const Dataset data = load_dataset(memory.path(), {.channels = 3, .stream = true});
    std::vector<uint8_t> image(static_cast<size_t>(data.image_size()));
    for (int i = 0; i < data.count; ++i) data.image_bytes(i, image.data());
  });
  load_dataset(memory.path(), {.height = 8, .width = 8, .channels = 3});
}

}  // namespace ito
