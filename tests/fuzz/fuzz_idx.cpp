// SPDX-License-Identifier: Apache-2.0
// IDX, and the same bytes gzipped: both must be refused or give the same array. Mutations seldom survive a checksum, so
// compressing here is what lets them reach the parser behind it.
#include <zlib.h>

#include "engine/data/load_dataset.h"
#include "engine/io/idx.h"
#include "tests/fuzz/memory_file.h"

namespace ito {
namespace {

std::vector<uint8_t> gzip(Bytes bytes) {
  z_stream stream{};
  demand(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib starts");
  std::vector<uint8_t> out(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  demand(status == Z_STREAM_END, "zlib packs");
  return out;
}

}  // namespace

void fuzz_idx(Bytes bytes) {
  static MemoryFile memory("a-images-idx3-ubyte");
  const bool packed = bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
  IdxArray from_packed;
  bool accepted = false;
  if (!packed) {
    memory.set(gzip(bytes));
    is_idx_file(memory.path());
    accepted = attempt([&] { from_packed = read_idx(memory.path()); });
  }
  memory.set(bytes);
  is_idx_file(memory.path());
  attempt([&] { load_dataset(memory.path(), {.height = 8, .width = 8, .channels = 3}); });
  attempt([&] { read_idx_labels(memory.path()); });
  IdxArray plain;
  const bool plain_accepted = attempt([&] { plain = read_idx(memory.path()); });
  if (!packed) {
    demand(plain_accepted == accepted, "an IDX file is read plain just when it is read gzipped");
    demand(plain.shape == from_packed.shape && plain.values == from_packed.values, "plain and gzipped agree");
  }
  if (!plain_accepted) read_idx(memory.path());
}

}  // namespace ito
