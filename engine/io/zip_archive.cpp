// SPDX-License-Identifier: Apache-2.0
// Reading zip archives. minizip reads through the functions below, so that a failing disk is an error of InputFile's;
// exceptions must not pass through C, so they are kept and thrown on behind it.
#include "engine/io/zip_archive.h"

#include <minizip/unzip.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kMaxPacking = 1100;  // deflate packs at most about 1032 to 1
constexpr size_t kLongestName = 4096;
constexpr unsigned kMadeByUnix = 3, kTypeOfFile = 0170000, kSymbolicLink = 0120000;

// minizip asks for a header byte by byte; what it asks for in small pieces is served from a window of the file.
constexpr uint64_t kWindow = 1 << 12;
constexpr size_t kSmall = 64;

struct Source {
  const InputFile& file;
  uint64_t at = 0;
  std::exception_ptr error = {};
  uint64_t window_at = 0;
  std::vector<uint8_t> window = {};

  void read(void* out, size_t bytes) {
    if (bytes > kSmall) return file.read_at(at, out, bytes);
    if (at < window_at || at + bytes > window_at + window.size()) {
      window_at = at;
      window.resize(std::min(kWindow, file.size() - at));
      file.read_at(at, window.data(), window.size());
    }
    std::memcpy(out, &window[at - window_at], bytes);
  }
};

Source& source_of(voidpf opaque) {
  return *static_cast<Source*>(opaque);
}
voidpf open_source(voidpf opaque, const void*, int) {
  return opaque;
}
uLong read_source(voidpf opaque, voidpf, void* out, uLong bytes) {
  Source& source = source_of(opaque);
  const uint64_t left = source.file.size() - std::min(source.at, source.file.size());
  const auto take = static_cast<size_t>(std::min<uint64_t>(bytes, left));
  try {
    if (take > 0) source.read(out, take);
  } catch (...) {
    source.error = std::current_exception();
    return 0;
  }
  source.at += take;
  return static_cast<uLong>(take);
}
ZPOS64_T tell_source(voidpf opaque, voidpf) {
  return source_of(opaque).at;
}
long seek_source(voidpf opaque, voidpf, ZPOS64_T offset, int origin) {
  Source& source = source_of(opaque);
  const uint64_t from = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                        : origin == ZLIB_FILEFUNC_SEEK_CUR ? source.at
                                                           : source.file.size();
  if (__builtin_add_overflow(from, offset, &source.at) || source.at > source.file.size()) return -1;
  return 0;
}
int close_source(voidpf, voidpf) {
  return 0;
}
int error_of_source(voidpf opaque, voidpf) {
  return source_of(opaque).error ? 1 : 0;
}

// An archive as minizip has it opened.
class Archive {
 public:
  explicit Archive(const InputFile& file) : source_{file} {
    zlib_filefunc64_def functions{};
    functions.zopen64_file = open_source;
    functions.zread_file = read_source;
    functions.ztell64_file = tell_source;
    functions.zseek64_file = seek_source;
    functions.zclose_file = close_source;
    functions.zerror_file = error_of_source;
    functions.opaque = &source_;
    zip_ = unzOpen2_64(file.path().c_str(), &functions);
    check(zip_ != nullptr, file.path(), ": is no zip archive, or one that is empty or cut short");
  }
  ~Archive() { unzClose(zip_); }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  unzFile get() const { return zip_; }
  template <class... Parts>
  void check(bool good, const Parts&... parts) const {
    if (source_.error) std::rethrow_exception(source_.error);
    ITO_USER_CHECK(good, parts...);
  }

 private:
  Source source_;
  unzFile zip_ = nullptr;
};

// What a member's directory entry says, held against the file.
void check_member(const unz_file_info64& info, const InputFile& file, const std::string& where) {
  ITO_USER_CHECK(!(info.flag & 1), where, ": is encrypted; write the archive without a password");
  ITO_USER_CHECK(info.compression_method == 0 || info.compression_method == Z_DEFLATED, where, ": is packed by method ",
                 info.compression_method, " of zip; expected stored (0) or deflated (8)");
  ITO_USER_CHECK(info.compressed_size <= file.size(), where, ": announces ", info.compressed_size,
                 " packed bytes in a file of ", file.size(), "; it is cut short or damaged");
  const bool holds = info.compression_method == 0 ? info.compressed_size == info.uncompressed_size
                                                  : info.uncompressed_size / kMaxPacking <= info.compressed_size;
  ITO_USER_CHECK(holds, where, ": announces ", info.uncompressed_size, " bytes, which its ", info.compressed_size,
                 " packed ones cannot hold; it is damaged");
}

bool is_symbolic_link(const unz_file_info64& info) {
  return info.version >> 8 == kMadeByUnix && (info.external_fa >> 16 & kTypeOfFile) == kSymbolicLink;
}

}  // namespace

bool is_zip_file(const std::string& path) {
  const std::vector<uint8_t> start = read_file_start(path, 4);
  return start.size() == 4 && start[0] == 'P' && start[1] == 'K' && start[2] == 3 && start[3] == 4;
}

ZipArchive ZipArchive::open(const std::string& path, uint64_t most_members, const char* of_what) {
  ZipArchive zip{InputFile(path)};
  const Archive archive(zip.file_);
  unz_global_info64 all{};
  archive.check(unzGetGlobalInfo64(archive.get(), &all) == UNZ_OK && all.number_entry > 0, path,
                ": is a zip archive without members");
  ITO_USER_CHECK(all.number_entry <= most_members, path, ": has ", all.number_entry, " members; expected at most ",
                 most_members, " ", of_what);
  int status = unzGoToFirstFile(archive.get());
  for (uint64_t i = 0; i < all.number_entry; ++i) {
    archive.check(status == UNZ_OK, path, ": its directory ends after ", i, " of ", all.number_entry,
                  " members; it is damaged");
    unz_file_info64 info{};
    unz64_file_pos position{};
    std::string name(kLongestName, '\0');
    const bool told =
        unzGetCurrentFileInfo64(archive.get(), &info, name.data(), name.size(), nullptr, 0, nullptr, 0) == UNZ_OK &&
        unzGetFilePos64(archive.get(), &position) == UNZ_OK;
    archive.check(told, path, ": the entry of member ", i, " in its directory is damaged");
    name.resize(std::min<uint64_t>(info.size_filename, name.size()));
    if (!name.ends_with('/')) {
      const Member member{name, info.uncompressed_size, is_symbolic_link(info), position.pos_in_zip_directory,
                          position.num_of_file};
      check_member(info, zip.file_, zip.place(member));
      zip.members_.push_back(member);
    }
    status = unzGoToNextFile(archive.get());
  }
  return zip;
}

std::string ZipArchive::place(const Member& member) const {
  return path() + ": " + printable(member.name, 100);
}

std::vector<uint8_t> ZipArchive::unpack(const Member& m, uint64_t first) const {
  const Archive archive(file_);
  const unz64_file_pos position{m.directory_offset, m.number};
  archive.check(unzGoToFilePos64(archive.get(), &position) == UNZ_OK && unzOpenCurrentFile(archive.get()) == UNZ_OK,
                place(m), ": is not what the archive's directory says; it is damaged");
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min(first, m.bytes)));
  constexpr size_t kStep = size_t{1} << 28;
  for (size_t done = 0; done < bytes.size();) {
    const int got =
        unzReadCurrentFile(archive.get(), &bytes[done], static_cast<unsigned>(std::min(kStep, bytes.size() - done)));
    archive.check(got > 0, place(m), ": is damaged, or cut short after ", done, " of ", m.bytes, " bytes");
    done += static_cast<size_t>(got);
  }
  const int closed = unzCloseCurrentFile(archive.get());
  archive.check(closed == UNZ_OK || (closed == UNZ_CRCERROR && bytes.size() < m.bytes), place(m),
                ": its checksum is wrong; it is damaged");
  return bytes;
}

}  // namespace ito
