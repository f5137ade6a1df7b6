// SPDX-License-Identifier: Apache-2.0
// A tar archive: its index, every member's bytes, and as a data set.
#include "engine/data/load_dataset.h"
#include "engine/io/tar_archive.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_tar(Bytes bytes) {
  static MemoryFile memory("a.tar");
  memory.set(bytes);
  const TarArchive archive(memory.path());
  uint64_t sum = 0;
  for (const TarArchive::Member& member : archive.members()) {
    const std::span<const uint8_t> found = archive.bytes(member);
    demand(found.size() == member.bytes && member.place + member.bytes <= bytes.size(), "a member lies in the archive");
    for (const uint8_t byte : found) sum += byte;
  }
  demand(archive.members().size() <= bytes.size() / 512, "a member has a block at least");
  load_dataset(memory.path(), {.height = 8, .width = 8, .channels = sum % 2 ? 1 : 3});
}

}  // namespace ito
