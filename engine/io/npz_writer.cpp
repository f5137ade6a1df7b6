// SPDX-License-Identifier: Apache-2.0
// Writing npz archives. A zip says a member's checksum before the member, so minizip goes back to it: the archive is
// written at its places into a file that gets its name at the end.
#include <minizip/zip.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/npz.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr uLong kFirstDay = 1u << 21 | 1u << 16;  // 1 January 1980, where a zip's time begins: no time of ours

// What minizip writes to. It is C, so that an error waits here until minizip has returned.
struct Target {
  AtomicFile file;
  uint64_t at = 0, end = 0;
  std::exception_ptr error;
};

Target& target_of(voidpf opaque) {
  return *static_cast<Target*>(opaque);
}
voidpf open_target(voidpf opaque, const void*, int) {
  return opaque;
}
uLong read_nothing(voidpf, voidpf, void*, uLong) {
  return 0;
}
uLong write_target(voidpf opaque, voidpf, const void* from, uLong bytes) {
  Target& target = target_of(opaque);
  try {
    target.file.write_at(target.at, from, bytes);
  } catch (...) {
    target.error = std::current_exception();
    return 0;
  }
  target.at += bytes;
  target.end = std::max(target.end, target.at);
  return bytes;
}
ZPOS64_T tell_target(voidpf opaque, voidpf) {
  return target_of(opaque).at;
}
long seek_target(voidpf opaque, voidpf, ZPOS64_T offset, int origin) {
  Target& target = target_of(opaque);
  target.at = offset + (origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                        : origin == ZLIB_FILEFUNC_SEEK_CUR ? target.at
                                                           : target.end);
  return 0;
}
int close_target(voidpf, voidpf) {
  return 0;
}
int error_of_target(voidpf opaque, voidpf) {
  return target_of(opaque).error ? 1 : 0;
}

}  // namespace

struct NpzWriter::Archive {
  std::string path;
  uint64_t largest_without_zip64;
  Target target;
  zipFile zip = nullptr;
  std::string array;  // that was begun, or none
  uint64_t left = 0;  // bytes of it

  Archive(const std::string& path_, uint64_t largest)
      : path(path_), largest_without_zip64(largest), target{AtomicFile(path_), 0, 0, nullptr} {}

  void check(bool good) {
    if (target.error) std::rethrow_exception(target.error);
    ITO_CHECK(good, path, ": the archive cannot be made");
  }
  void put(std::span<const uint8_t> bytes) {
    constexpr size_t kStep = size_t{1} << 30;
    for (size_t done = 0; done < bytes.size(); done += kStep)
      check(zipWriteInFileInZip(zip, bytes.data() + done,
                                static_cast<unsigned>(std::min(kStep, bytes.size() - done))) == ZIP_OK);
  }
  void end_array() {
    ITO_CHECK(left == 0, path, ": ", array, ": ", left, " bytes less than its shape says");
    if (!array.empty()) check(zipCloseFileInZip(zip) == ZIP_OK);
    array.clear();
  }
};

NpzWriter::NpzWriter(const std::string& path, uint64_t largest_without_zip64)
    : archive_(std::make_unique<Archive>(path, largest_without_zip64)) {
  ITO_USER_CHECK(!archive_->target.file.temporary().empty(), path,
                 ": is no regular file; an archive cannot be written into it");
  zlib_filefunc64_def functions{open_target, read_nothing, write_target,    tell_target,
                                seek_target, close_target, error_of_target, &archive_->target};
  archive_->zip = zipOpen2_64(path.c_str(), APPEND_STATUS_CREATE, nullptr, &functions);
  archive_->check(archive_->zip != nullptr);
}

NpzWriter::~NpzWriter() {
  if (archive_->zip) zipClose(archive_->zip, nullptr);  // into a file that goes away
}

void NpzWriter::begin(const std::string& name, TensorType type, const std::vector<int64_t>& shape) {
  archive_->end_array();
  const std::string header = npy_header(type, shape);
  archive_->left = size_of(type);
  for (const int64_t extent : shape) archive_->left *= static_cast<uint64_t>(extent);
  archive_->array = name;
  zip_fileinfo info{};
  info.dosDate = kFirstDay;
  const int large = header.size() + archive_->left > archive_->largest_without_zip64;
  archive_->check(zipOpenNewFileInZip64(archive_->zip, (name + ".npy").c_str(), &info, nullptr, 0, nullptr, 0, nullptr,
                                        0, 0, large) == ZIP_OK);
  archive_->put({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
}

void NpzWriter::write(std::span<const uint8_t> bytes) {
  ITO_CHECK(bytes.size() <= archive_->left, archive_->path, ": ", archive_->array, ": more bytes than its shape says");
  archive_->put(bytes);
  archive_->left -= bytes.size();
}

void NpzWriter::commit() {
  archive_->end_array();
  archive_->check(zipClose(std::exchange(archive_->zip, nullptr), nullptr) == ZIP_OK);
  archive_->target.file.commit();
}

void write_npz(const std::string& path, const std::vector<NpzArray>& arrays) {
  NpzWriter writer(path);
  for (const NpzArray& array : arrays) {
    writer.begin(array.name, array.type, array.shape);
    writer.write(array.bytes);
  }
  writer.commit();
}

}  // namespace ito
