// SPDX-License-Identifier: Apache-2.0
// See npy.h. The header is text that Python would evaluate; here it is read strictly, key by key.
#include "engine/io/npy.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "kernels/error.h"

namespace ito {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kMagic = "\x93NUMPY"sv;
constexpr uint64_t kMaxNpyHeader = uint64_t{1} << 16;
constexpr uint64_t kMaxElements = uint64_t{1} << 40;
constexpr size_t kMaxDimensions = 32;  // as NumPy has it

constexpr std::pair<std::string_view, TensorType> kTypes[] = {
    {"f8", TensorType::F64}, {"f4", TensorType::F32}, {"f2", TensorType::F16}, {"i8", TensorType::I64},
    {"i4", TensorType::I32}, {"i2", TensorType::I16}, {"i1", TensorType::I8},  {"u8", TensorType::U64},
    {"u4", TensorType::U32}, {"u2", TensorType::U16}, {"u1", TensorType::U8},  {"b1", TensorType::BOOL},
};

TensorType type_of(std::string_view descr, const std::string& where) {
  ITO_USER_CHECK(!descr.starts_with('>'), where, ": holds big-endian numbers (", quote_name(descr),
                 "); save it with little-endian ones");
  for (const auto& [name, type] : kTypes)
    if (descr.substr(std::min<size_t>(1, descr.size())) == name && (descr[0] == '<' || descr[0] == '|')) return type;
  fail<UserError>(where, ": holds numbers of type ", quote_name(descr),
                  "; expected floats, whole numbers or booleans, such as '<f4' or '|u1'");
}

// The dictionary's words, one after another.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  bool accept(char c) {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) { ITO_USER_CHECK(accept(c), where_, ": its header is damaged (no '", c, "' where one belongs)"); }

  std::string_view quoted(const char* what) {
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    ITO_USER_CHECK(end != std::string_view::npos, where_, ": its header is damaged (", what, " is no text)");
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }

  bool boolean() {
    skip_blanks();
    for (const auto& [word, value] : {std::pair{"True"sv, true}, {"False"sv, false}})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    fail<UserError>(where_, ": its header is damaged (fortran_order is neither True nor False)");
  }

  std::vector<int64_t> shape() {
    std::vector<int64_t> shape;
    expect('(');
    while (!accept(')')) {
      ITO_USER_CHECK(shape.size() < kMaxDimensions, where_, ": has more than ", kMaxDimensions, " dimensions");
      shape.push_back(dimension());
      if (accept(')')) return shape;
      expect(',');
    }
    return shape;
  }

  void expect_end() {
    skip_blanks();
    ITO_USER_CHECK(at_ == text_.size(), where_, ": its header is damaged (something stands behind the dictionary)");
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  int64_t dimension() {
    skip_blanks();
    uint64_t value = 0;
    const size_t first = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && value <= kMaxElements; ++at_)
      value = 10 * value + static_cast<uint64_t>(text_[at_] - '0');
    ITO_USER_CHECK(at_ > first, where_, ": its header is damaged (a dimension is no number)");
    ITO_USER_CHECK(value <= kMaxElements, where_, ": has a dimension of more than 2^40");
    return static_cast<int64_t>(value);
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

NpyHeader parse_dictionary(std::string_view text, const std::string& where) {
  NpyHeader header;
  bool fortran_order = false;
  HeaderReader reader(text, where);
  std::set<std::string_view> keys;
  reader.expect('{');
  while (!reader.accept('}')) {
    const std::string_view key = reader.quoted("a key");
    ITO_USER_CHECK(keys.insert(key).second, where, ": its header has ", quote_name(key), " twice");
    reader.expect(':');
    if (key == "descr")
      header.type = type_of(reader.quoted("descr, so it holds records or it"), where);
    else if (key == "fortran_order")
      fortran_order = reader.boolean();
    else if (key == "shape")
      header.shape = reader.shape();
    else
      fail<UserError>(where, ": its header has the key ", quote_name(key), "; expected descr, fortran_order and shape");
    if (reader.accept('}')) break;
    reader.expect(',');
  }
  reader.expect_end();
  ITO_USER_CHECK(keys.size() == 3, where, ": its header lacks a key; expected descr, fortran_order and shape");
  const auto wide = std::count_if(header.shape.begin(), header.shape.end(), [](int64_t n) { return n > 1; });
  ITO_USER_CHECK(!fortran_order || wide < 2, where,
                 ": is stored in Fortran's order; save numpy.ascontiguousarray of it");
  return header;
}

}  // namespace

uint64_t NpyHeader::element_count() const {
  uint64_t product = 1;
  for (const int64_t extent : shape) product *= static_cast<uint64_t>(extent);
  return product;
}

uint64_t npy_header_bytes(std::span<const uint8_t> start, const std::string& where) {
  ITO_USER_CHECK(start.size() >= kMagic.size() && std::memcmp(start.data(), kMagic.data(), kMagic.size()) == 0, where,
                 ": is no NumPy array (it must begin with \\x93NUMPY)");
  ITO_USER_CHECK(start.size() >= kNpyStart, where, ": ends within its header; it is cut short");
  const int version = start[6];
  ITO_USER_CHECK(version >= 1 && version <= 3, where, ": is version ", version, " of the format; expected 1 to 3");
  const uint64_t prefix = version == 1 ? 10 : 12;
  uint64_t length = start[8] | uint64_t{start[9]} << 8;
  if (version > 1) length |= uint64_t{start[10]} << 16 | uint64_t{start[11]} << 24;
  ITO_USER_CHECK(length <= kMaxNpyHeader, where, ": announces a header of ", length, " bytes; expected at most ",
                 kMaxNpyHeader);
  return prefix + length;
}

NpyHeader parse_npy_header(std::span<const uint8_t> bytes, const std::string& where) {
  const uint64_t length = npy_header_bytes(bytes, where);
  ITO_USER_CHECK(bytes.size() >= length, where, ": ends within its header; it is cut short");
  const uint64_t prefix = bytes[6] == 1 ? 10 : 12;
  NpyHeader header = parse_dictionary(
      std::string_view(reinterpret_cast<const char*>(bytes.data()) + prefix, static_cast<size_t>(length - prefix)),
      where);
  header.bytes = length;
  uint64_t count = 1;
  for (const int64_t extent : header.shape)  // both factors are at most 2^40, so one step cannot wrap past the check
    ITO_USER_CHECK(!__builtin_mul_overflow(count, static_cast<uint64_t>(extent), &count) && count <= kMaxElements,
                   where, ": its dimensions multiply to more than 2^40 numbers");
  return header;
}

std::string npy_header(TensorType type, const std::vector<int64_t>& shape) {
  std::string_view name;
  for (const auto& [numpy, ours] : kTypes)
    if (ours == type) name = numpy;
  ITO_CHECK(!name.empty(), "NumPy has no numbers of type ", name_of(type));
  std::string text = "{'descr': '";
  text += size_of(type) == 1 ? '|' : '<';
  text.append(name).append("', 'fortran_order': False, 'shape': (");
  for (size_t d = 0; d < shape.size(); ++d) {
    if (d) text += ' ';
    text += std::to_string(shape[d]);
    if (d == 0 || d + 1 < shape.size()) text += ',';
  }
  text += "), }";
  constexpr size_t kPrefix = 10, kAlignment = 64;
  text.append(kAlignment - 1 - (kPrefix + text.size()) % kAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {1, 0, static_cast<char>(text.size() & 255), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace ito
