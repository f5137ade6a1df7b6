// SPDX-License-Identifier: Apache-2.0
// An npz archive: every array in every way, and as a data set. Mutations seldom survive a checksum, so the bytes are
// also given to the reader of an array's header as they are.
#include "engine/data/load_dataset.h"
#include "engine/io/npz.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_npz(Bytes bytes) {
  static MemoryFile memory("a.npz");
  memory.set(bytes);
  attempt([&] {
    const NpyHeader header = parse_npy_header(bytes, "a.npy");
    demand(header.bytes <= bytes.size(), "an array's header lies within the array");
    const std::string again = npy_header(header.type, header.shape);
    const NpyHeader same = parse_npy_header({reinterpret_cast<const uint8_t*>(again.data()), again.size()}, "again");
    demand(same.type == header.type && same.shape == header.shape, "a header that was read is written the same");
  });
  attempt([&] { load_dataset(memory.path(), {.height = 8, .width = 8, .channels = 3}); });
  const NpzFile file = NpzFile::open(memory.path());
  for (const std::string& name : file.names()) {
    const NpyHeader header = file.header(name);
    attempt([&] { demand(file.read_doubles(name).size() == header.element_count(), "an array is read whole"); });
    attempt([&] { demand(file.read_whole_numbers(name).size() == header.element_count(), "an array is read whole"); });
    attempt([&] { demand(file.read_bytes(name).size() == header.data_bytes(), "an array is read whole"); });
  }
  file.read_bytes("arr_0");
}

}  // namespace ito
