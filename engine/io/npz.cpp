// SPDX-License-Identifier: Apache-2.0
// Reading npz archives. minizip reads through the functions below, so that a failing disk is an error of InputFile's;
// exceptions must not pass through C, so they are kept and thrown on behind it.
#include "engine/io/npz.h"

#include <minizip/unzip.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kMaxPacking = 1100;  // deflate packs at most about 1032 to 1
constexpr uint64_t kMaxMembers = 4096;
constexpr const char* kSuffix = ".npy";

struct Source {
  const InputFile& file;
  uint64_t at = 0;
  std::exception_ptr error = {};
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
    source.file.read_at(source.at, out, take);
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

template <class T, class Use>
void each_number(const std::vector<uint8_t>& bytes, const Use& use) {
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, &bytes[i], sizeof(T));
    use(value);
  }
}

}  // namespace

bool is_npz_file(const std::string& path) {
  if (path.ends_with(".npz")) return true;
  const std::vector<uint8_t> start = read_file_start(path, 4);
  return start.size() == 4 && start[0] == 'P' && start[1] == 'K' && start[2] == 3 && start[3] == 4;
}

NpzFile NpzFile::open(const std::string& path) {
  NpzFile npz{InputFile(path)};
  const Archive archive(npz.file_);
  unz_global_info64 all{};
  archive.check(unzGetGlobalInfo64(archive.get(), &all) == UNZ_OK && all.number_entry > 0, path,
                ": is a zip archive without members");
  ITO_USER_CHECK(all.number_entry <= kMaxMembers, path, ": has ", all.number_entry, " members; expected at most ",
                 kMaxMembers, " arrays");
  int status = unzGoToFirstFile(archive.get());
  for (uint64_t i = 0; i < all.number_entry; ++i) {
    archive.check(status == UNZ_OK, path, ": its directory ends after ", i, " of ", all.number_entry,
                  " members; it is damaged");
    unz_file_info64 info{};
    unz64_file_pos position{};
    std::string name(256, '\0');
    const bool told =
        unzGetCurrentFileInfo64(archive.get(), &info, name.data(), name.size(), nullptr, 0, nullptr, 0) == UNZ_OK &&
        unzGetFilePos64(archive.get(), &position) == UNZ_OK;
    archive.check(told, path, ": the entry of member ", i, " in its directory is damaged");
    name.resize(std::min<uint64_t>(info.size_filename, name.size()));
    if (name.ends_with(kSuffix)) {
      name.resize(name.size() - std::strlen(kSuffix));
      check_member(info, npz.file_, npz.place(name));
      const Member member{position.pos_in_zip_directory, position.num_of_file, info.uncompressed_size};
      ITO_USER_CHECK(npz.members_.emplace(name, member).second, npz.place(name), ": is there twice");
    }
    status = unzGoToNextFile(archive.get());
  }
  return npz;
}

std::vector<std::string> NpzFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, member] : members_) names.push_back(name);
  return names;
}

std::string NpzFile::place(const std::string& name) const {
  return path() + ": " + printable(name, 100) + kSuffix;
}

const NpzFile::Member& NpzFile::member(const std::string& name) const {
  ITO_USER_CHECK(has(name), path(), ": has no array ", name, "; it has ",
                 members_.empty() ? "none" : list_names(names()));
  return members_.at(name);
}

std::vector<uint8_t> NpzFile::unpack(const std::string& name, uint64_t first) const {
  const Member& m = member(name);
  const Archive archive(file_);
  const unz64_file_pos position{m.directory_offset, m.number};
  archive.check(unzGoToFilePos64(archive.get(), &position) == UNZ_OK && unzOpenCurrentFile(archive.get()) == UNZ_OK,
                place(name), ": is not what the archive's directory says; it is damaged");
  std::vector<uint8_t> bytes(static_cast<size_t>(std::min(first, m.bytes)));
  constexpr size_t kStep = size_t{1} << 28;
  for (size_t done = 0; done < bytes.size();) {
    const int got =
        unzReadCurrentFile(archive.get(), &bytes[done], static_cast<unsigned>(std::min(kStep, bytes.size() - done)));
    archive.check(got > 0, place(name), ": is damaged, or cut short after ", done, " of ", m.bytes, " bytes");
    done += static_cast<size_t>(got);
  }
  const int closed = unzCloseCurrentFile(archive.get());
  archive.check(closed == UNZ_OK || (closed == UNZ_CRCERROR && bytes.size() < m.bytes), place(name),
                ": its checksum is wrong; it is damaged");
  return bytes;
}

NpyHeader NpzFile::header(const std::string& name) const {
  const uint64_t length = npy_header_bytes(unpack(name, kNpyStart), place(name));
  NpyHeader header = parse_npy_header(unpack(name, length), place(name));
  const uint64_t announced = header.bytes + header.data_bytes(), found = member(name).bytes;
  ITO_USER_CHECK(found == announced, place(name), ": holds ", found - header.bytes,
                 " bytes of numbers where its header announces ", header.data_bytes(), "; it is ",
                 found < announced ? "cut short" : "longer than it should be");
  return header;
}

std::vector<uint8_t> NpzFile::read_data(const std::string& name, NpyHeader& header) const {
  header = this->header(name);
  std::vector<uint8_t> bytes = unpack(name, member(name).bytes);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header.bytes));
  return bytes;
}

std::vector<double> NpzFile::read_doubles(const std::string& name) const {
  NpyHeader header;
  const std::vector<uint8_t> bytes = read_data(name, header);
  std::vector<double> values;
  values.reserve(header.element_count());
  const auto keep = [&](auto value) { values.push_back(static_cast<double>(value)); };
  if (header.type == TensorType::F64)
    each_number<double>(bytes, keep);
  else if (header.type == TensorType::F32)
    each_number<float>(bytes, keep);
  else if (header.type == TensorType::F16)
    each_number<uint16_t>(bytes, [&](uint16_t bits) { keep(float_from_f16(bits)); });
  else
    fail<UserError>(place(name), ": holds ", name_of(header.type), "; expected floats (F64, F32 or F16)");
  return values;
}

std::vector<int64_t> NpzFile::read_whole_numbers(const std::string& name) const {
  NpyHeader header;
  const std::vector<uint8_t> bytes = read_data(name, header);
  std::vector<int64_t> values;
  values.reserve(header.element_count());
  const auto keep = [&](auto value) { values.push_back(static_cast<int64_t>(value)); };
  switch (header.type) {
    case TensorType::I64:
      each_number<int64_t>(bytes, keep);
      break;
    case TensorType::I32:
      each_number<int32_t>(bytes, keep);
      break;
    case TensorType::I16:
      each_number<int16_t>(bytes, keep);
      break;
    case TensorType::I8:
      each_number<int8_t>(bytes, keep);
      break;
    case TensorType::U32:
      each_number<uint32_t>(bytes, keep);
      break;
    case TensorType::U16:
      each_number<uint16_t>(bytes, keep);
      break;
    case TensorType::U8:
    case TensorType::BOOL:
      each_number<uint8_t>(bytes, keep);
      break;
    default:
      fail<UserError>(place(name), ": holds ", name_of(header.type), "; expected whole numbers");
  }
  return values;
}

std::vector<uint8_t> NpzFile::read_bytes(const std::string& name) const {
  NpyHeader header;
  std::vector<uint8_t> bytes = read_data(name, header);
  ITO_USER_CHECK(header.type == TensorType::U8, place(name), ": holds ", name_of(header.type),
                 "; expected U8, 0 black and 255 white");
  return bytes;
}

}  // namespace ito
