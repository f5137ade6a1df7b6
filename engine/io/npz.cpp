// SPDX-License-Identifier: Apache-2.0
// Reading npz archives: a zip's members as arrays.
#include "engine/io/npz.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kMaxMembers = 4096;
constexpr const char* kSuffix = ".npy";

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
  return path.ends_with(".npz") || is_zip_file(path);
}

NpzFile NpzFile::open(const std::string& path) {
  NpzFile npz{ZipArchive::open(path, kMaxMembers, "arrays")};
  for (const ZipArchive::Member& member : npz.zip_.members()) {
    if (!member.name.ends_with(kSuffix)) continue;
    const std::string name = member.name.substr(0, member.name.size() - std::strlen(kSuffix));
    ITO_USER_CHECK(npz.members_.emplace(name, member).second, npz.place(name), ": is there twice");
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

const ZipArchive::Member& NpzFile::member(const std::string& name) const {
  ITO_USER_CHECK(has(name), path(), ": has no array ", name, "; it has ",
                 members_.empty() ? "none" : list_names(names()));
  return members_.at(name);
}

std::vector<uint8_t> NpzFile::unpack(const std::string& name, uint64_t first) const {
  return zip_.unpack(member(name), first);
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
