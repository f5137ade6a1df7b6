// SPDX-License-Identifier: Apache-2.0
// Writing npz archives. A zip says a member's checksum before the member, so minizip goes back to it: the archive is
// made in memory, and then written as every file is.
#include <minizip/zip.h>

#include <algorithm>
#include <cstring>

#include "engine/io/atomic_file.h"
#include "engine/io/npz.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr uLong kFirstDay = 1u << 21 | 1u << 16;  // 1 January 1980, where a zip's time begins: no time of ours
constexpr uint64_t kLargestWithoutZip64 = 0xfffffffe;

struct Memory {
  std::vector<uint8_t> bytes;
  uint64_t at = 0;
};

Memory& memory_of(voidpf opaque) {
  return *static_cast<Memory*>(opaque);
}
voidpf open_memory(voidpf opaque, const void*, int) {
  return opaque;
}
uLong read_memory(voidpf opaque, voidpf, void* out, uLong bytes) {
  Memory& memory = memory_of(opaque);
  if (memory.at + bytes > memory.bytes.size()) return 0;
  std::memcpy(out, memory.bytes.data() + memory.at, bytes);
  memory.at += bytes;
  return bytes;
}
uLong write_memory(voidpf opaque, voidpf, const void* from, uLong bytes) {
  Memory& memory = memory_of(opaque);
  try {
    if (memory.at + bytes > memory.bytes.size()) memory.bytes.resize(memory.at + bytes);
  } catch (...) {
    return 0;
  }
  std::memcpy(memory.bytes.data() + memory.at, from, bytes);
  memory.at += bytes;
  return bytes;
}
ZPOS64_T tell_memory(voidpf opaque, voidpf) {
  return memory_of(opaque).at;
}
long seek_memory(voidpf opaque, voidpf, ZPOS64_T offset, int origin) {
  Memory& memory = memory_of(opaque);
  memory.at = offset + (origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                        : origin == ZLIB_FILEFUNC_SEEK_CUR ? memory.at
                                                           : memory.bytes.size());
  return 0;
}
int close_memory(voidpf, voidpf) {
  return 0;
}
int no_error(voidpf, voidpf) {
  return 0;
}

bool put(zipFile zip, const void* data, uint64_t bytes) {
  constexpr uint64_t kStep = uint64_t{1} << 30;
  const auto* from = static_cast<const uint8_t*>(data);
  for (uint64_t done = 0; done < bytes; done += kStep)
    if (zipWriteInFileInZip(zip, from + done, static_cast<unsigned>(std::min(kStep, bytes - done))) != ZIP_OK)
      return false;
  return true;
}

bool put_array(zipFile zip, const NpzArray& array) {
  const std::string header = npy_header(array.type, array.shape);
  zip_fileinfo info{};
  info.dosDate = kFirstDay;
  const int large = header.size() + array.bytes.size() > kLargestWithoutZip64;
  return zipOpenNewFileInZip64(zip, (array.name + ".npy").c_str(), &info, nullptr, 0, nullptr, 0, nullptr, 0, 0,
                               large) == ZIP_OK &&
         put(zip, header.data(), header.size()) && put(zip, array.bytes.data(), array.bytes.size()) &&
         zipCloseFileInZip(zip) == ZIP_OK;
}

}  // namespace

void write_npz(const std::string& path, const std::vector<NpzArray>& arrays) {
  Memory memory;
  size_t bytes = 1024;
  for (const NpzArray& array : arrays) {
    uint64_t count = 1;
    for (const int64_t extent : array.shape) count *= static_cast<uint64_t>(extent);
    ITO_CHECK(array.bytes.size() == count * size_of(array.type), path, ": ", array.name, ": ", array.bytes.size(),
              " bytes for an array of shape ", shape_text(array.shape));
    bytes += array.bytes.size() + 1024;
  }
  memory.bytes.reserve(bytes);
  zlib_filefunc64_def functions{open_memory, read_memory,  write_memory, tell_memory,
                                seek_memory, close_memory, no_error,     &memory};
  zipFile zip = zipOpen2_64(path.c_str(), APPEND_STATUS_CREATE, nullptr, &functions);
  bool good = zip != nullptr;
  for (const NpzArray& array : arrays) good = good && put_array(zip, array);
  good = (!zip || zipClose(zip, nullptr) == ZIP_OK) && good;
  ITO_CHECK(good, path, ": the archive cannot be made: not enough memory");
  write_file_atomically(path, memory.bytes.data(), memory.bytes.size());
}

}  // namespace ito
