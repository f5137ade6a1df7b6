// SPDX-License-Identifier: Apache-2.0
// Reading: the header is validated once, tensors are then read where they lie. Conversions go through a fixed-size
// chunk, so reading a tensor needs its own memory and no second copy of it.
#include "engine/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are stored as little-endian memory");

// The same limit as other readers of the format have.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// The header's own nesting is 3: the object of tensors, a tensor, its lists.
constexpr int kMaxHeaderDepth = 8;

struct TypeInfo {
  TensorType type;
  const char* name;
  size_t bytes;
};

constexpr TypeInfo kTypes[] = {
    {TensorType::F64, "F64", 8},   {TensorType::F32, "F32", 4},         {TensorType::F16, "F16", 2},
    {TensorType::BF16, "BF16", 2}, {TensorType::I64, "I64", 8},         {TensorType::I32, "I32", 4},
    {TensorType::I16, "I16", 2},   {TensorType::I8, "I8", 1},           {TensorType::U8, "U8", 1},
    {TensorType::BOOL, "BOOL", 1}, {TensorType::U64, "U64", 8},         {TensorType::U32, "U32", 4},
    {TensorType::U16, "U16", 2},   {TensorType::F8_E5M2, "F8_E5M2", 1}, {TensorType::F8_E4M3, "F8_E4M3", 1},
};

// Calls f with a converter from the stored bytes of one element, for the types that have a number in them.
// Returns false for the others.
template <class F>
bool with_converter(TensorType type, const F& f) {
  const auto plain = [&]<class T>(T) {
    f([](const uint8_t* p) {
      T value;
      std::memcpy(&value, p, sizeof(T));
      return value;
    });
  };
  const auto half = [&](float (*convert)(uint16_t)) {
    f([convert](const uint8_t* p) {
      uint16_t bits;
      std::memcpy(&bits, p, 2);
      return convert(bits);
    });
  };
  switch (type) {
    case TensorType::F64:
      plain(double{});
      return true;
    case TensorType::F32:
      plain(float{});
      return true;
    case TensorType::F16:
      half(float_from_f16);
      return true;
    case TensorType::BF16:
      half(float_from_bf16);
      return true;
    case TensorType::I64:
      plain(int64_t{});
      return true;
    case TensorType::I32:
      plain(int32_t{});
      return true;
    case TensorType::I16:
      plain(int16_t{});
      return true;
    case TensorType::I8:
      plain(int8_t{});
      return true;
    case TensorType::U8:
      plain(uint8_t{});
      return true;
    case TensorType::BOOL:
      f([](const uint8_t* p) { return static_cast<uint8_t>(*p != 0); });
      return true;
    default:
      return false;
  }
}

int64_t checked_dimension(const Json& value, const std::string& where) {
  ITO_USER_CHECK(value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()},
                 where, ": its shape must be a list of whole numbers, found ", quote_name(value.dump()));
  return value.get<int64_t>();
}

SafetensorsFile::Entry parse_entry(const Json& value, uint64_t data_bytes, const std::string& where) {
  ITO_USER_CHECK(value.is_object(), where, ": must be described by an object with dtype, shape and data_offsets");
  for (const char* key : {"dtype", "shape", "data_offsets"})
    ITO_USER_CHECK(value.contains(key), where, ": has no \"", key, "\" in the header");
  SafetensorsFile::Entry entry;

  const Json& dtype = value["dtype"];
  const auto known = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const TypeInfo& info) { return dtype.is_string() && dtype == info.name; });
  ITO_USER_CHECK(known != std::end(kTypes), where, ": unknown dtype ",
                 quote_name(dtype.is_string() ? dtype.get<std::string>() : dtype.dump()));
  entry.type = known->type;

  const Json& shape = value["shape"];
  ITO_USER_CHECK(shape.is_array(), where, ": its shape must be a list of whole numbers, found ",
                 quote_name(shape.dump()));
  uint64_t bytes = known->bytes;
  for (const Json& dimension : shape) {
    entry.shape.push_back(checked_dimension(dimension, where));
    ITO_USER_CHECK(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(entry.shape.back()), &bytes), where,
                   ": its shape is too large to be real");
  }

  const Json& offsets = value["data_offsets"];
  ITO_USER_CHECK(
      offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(),
      where, ": data_offsets must be two whole numbers, found ", quote_name(offsets.dump()));
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  ITO_USER_CHECK(entry.begin <= entry.end, where, ": data_offsets [", entry.begin, ", ", entry.end, "] run backwards");
  ITO_USER_CHECK(entry.end <= data_bytes, where, ": ends at byte ", entry.end, " of the data, but the file holds ",
                 data_bytes, "; it is cut short or damaged");
  ITO_USER_CHECK(entry.end - entry.begin == bytes, where, ": ", entry.end - entry.begin, " bytes stored, but ",
                 known->name, " ", shape_text(entry.shape), " needs ", bytes);
  return entry;
}

// The tensors must tile the data section: no byte twice, none without an owner.
void check_tiling(const std::map<std::string, SafetensorsFile::Entry>& entries, uint64_t data_bytes,
                  const std::string& path) {
  std::vector<const std::pair<const std::string, SafetensorsFile::Entry>*> ordered;
  for (const auto& item : entries) ordered.push_back(&item);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t position = 0;
  for (const auto* item : ordered) {
    ITO_USER_CHECK(item->second.begin >= position, path, ": tensor ", quote_name(item->first), ": starts at byte ",
                   item->second.begin, " of the data, inside the tensor before it (which ends at ", position, ")");
    ITO_USER_CHECK(item->second.begin == position, path, ": tensor ", quote_name(item->first), ": starts at byte ",
                   item->second.begin, " of the data, but bytes from ", position, " on belong to no tensor");
    position = item->second.end;
  }
  ITO_USER_CHECK(position == data_bytes, path, ": the tensors end at byte ", position,
                 " of the data, but the file has ", data_bytes, " bytes of it");
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  constexpr size_t kShown = 8;  // a line has room for them; files may have hundreds
  std::string text = "[";
  for (size_t i = 0; i < std::min(kShown, shape.size()); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > kShown ? join_text(", ... ", shape.size(), " in all]") : "]");
}

bool is_float(TensorType type) {
  return type == TensorType::F64 || type == TensorType::F32 || type == TensorType::F16 || type == TensorType::BF16;
}

const char* name_of(TensorType type) {
  return kTypes[static_cast<size_t>(type)].name;
}
size_t size_of(TensorType type) {
  return kTypes[static_cast<size_t>(type)].bytes;
}

float float_from_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u, mantissa = bits & 1023u;
  // Subnormals are mantissa * 2^-24, which fp32 holds exactly.
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * static_cast<float>(mantissa) * 0x1p-24f;
  const uint32_t wide_exponent = exponent == 31 ? 255u : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

float float_from_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

int64_t SafetensorsFile::Entry::element_count() const {
  return static_cast<int64_t>((end - begin) / size_of(type));
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  SafetensorsFile result{InputFile(path)};
  const uint64_t file_bytes = result.file_.size();
  ITO_USER_CHECK(file_bytes >= 8, path, ": is ", file_bytes,
                 " bytes long, too short for a safetensors file (8 bytes of header length come first)");
  uint64_t header_bytes = 0;
  result.file_.read_at(0, &header_bytes, 8);
  ITO_USER_CHECK(header_bytes <= file_bytes - 8, path, ": its header claims ", header_bytes, " bytes, but only ",
                 file_bytes - 8, " follow; it is cut short or not a safetensors file");
  ITO_USER_CHECK(header_bytes <= kMaxHeaderBytes, path, ": its header claims ", header_bytes, " bytes; more than ",
                 kMaxHeaderBytes, " are refused");
  std::string text(header_bytes, '\0');
  result.file_.read_at(8, text.data(), text.size());
  result.data_start_ = 8 + header_bytes;
  const uint64_t data_bytes = file_bytes - result.data_start_;

  const Json header = parse_json(text, path + ": header", kMaxHeaderDepth);
  ITO_USER_CHECK(header.is_object(), path, ": header: must be a JSON object");
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      result.entries_[name] = parse_entry(value, data_bytes, result.place(name));
      continue;
    }
    ITO_USER_CHECK(value.is_object(), path, ": __metadata__ must be an object of strings");
    for (const auto& [key, text_value] : value.items()) {
      ITO_USER_CHECK(text_value.is_string(), path, ": __metadata__: the value of ", quote_name(key),
                     " must be a string");
      result.metadata_[key] = text_value.get<std::string>();
    }
  }
  check_tiling(result.entries_, data_bytes, path);
  return result;
}

std::string SafetensorsFile::place(const std::string& name) const {
  return path() + ": tensor " + quote_name(name);
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> all;
  for (const auto& [name, entry] : entries_) all.push_back(name);
  return all;
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail<UserError>(place(name), ": is not in the file", did_you_mean(name, names()));
  return found->second;
}

void SafetensorsFile::check_shape(const std::string& name, const std::vector<int64_t>& expected) const {
  const Entry& found = entry(name);
  ITO_USER_CHECK(found.shape == expected, place(name), ": has shape ", shape_text(found.shape), ", expected ",
                 shape_text(expected));
}

// Calls visit(bytes, first element, elements) over the tensor's data.
template <class Visit>
void SafetensorsFile::for_each_chunk(const Entry& entry, const Visit& visit) const {
  constexpr int64_t kChunkElements = 1 << 16;
  const int64_t width = static_cast<int64_t>(size_of(entry.type)), count = entry.element_count();
  std::vector<uint8_t> chunk(static_cast<size_t>(std::min(count, kChunkElements) * width));
  for (int64_t first = 0; first < count; first += kChunkElements) {
    const int64_t elements = std::min(kChunkElements, count - first);
    file_.read_at(data_start_ + entry.begin + static_cast<uint64_t>(first * width), chunk.data(),
                  static_cast<size_t>(elements * width));
    visit(chunk.data(), first, elements);
  }
}

void SafetensorsFile::read_f32_into(const std::string& name, std::span<float> out) const {
  const Entry& found = entry(name);
  ITO_CHECK(static_cast<int64_t>(out.size()) == found.element_count(), place(name), ": has ", found.element_count(),
            " elements, read into room for ", out.size());
  if (found.type == TensorType::F32) {
    file_.read_at(data_start_ + found.begin, out.data(), out.size_bytes());
    return;
  }
  const bool converted = with_converter(found.type, [&](auto convert) {
    const size_t width = size_of(found.type);
    for_each_chunk(found, [&](const uint8_t* bytes, int64_t first, int64_t elements) {
      for (int64_t i = 0; i < elements; ++i)
        out[static_cast<size_t>(first + i)] = static_cast<float>(convert(bytes + static_cast<size_t>(i) * width));
    });
  });
  ITO_USER_CHECK(converted, place(name), ": ", name_of(found.type),
                 " cannot be read as numbers here; store it as F32, F16 or BF16");
}

std::vector<float> SafetensorsFile::read_f32(const std::string& name) const {
  std::vector<float> values(static_cast<size_t>(entry(name).element_count()));
  read_f32_into(name, values);
  return values;
}

std::vector<float> SafetensorsFile::read_floats(const std::string& name) const {
  const TensorType type = entry(name).type;
  ITO_USER_CHECK(is_float(type), place(name), ": is ", name_of(type), "; expected F32, F16, BF16 or F64");
  return read_f32(name);
}

std::vector<int64_t> SafetensorsFile::read_i64(const std::string& name, bool accept_f32) const {
  const Entry& found = entry(name);
  const bool refused = is_float(found.type) && !(found.type == TensorType::F32 && accept_f32);
  std::vector<int64_t> values(static_cast<size_t>(found.element_count()));
  const bool converted = !refused && with_converter(found.type, [&](auto convert) {
    const size_t width = size_of(found.type);
    for_each_chunk(found, [&](const uint8_t* bytes, int64_t first, int64_t elements) {
      for (int64_t i = 0; i < elements; ++i) {
        const auto value = convert(bytes + static_cast<size_t>(i) * width);
        if constexpr (std::is_floating_point_v<decltype(value)>)
          ITO_USER_CHECK(std::trunc(value) == value && std::fabs(value) < 0x1p63f, place(name), ": element ", first + i,
                         " is ", value, ", not a whole number");
        values[static_cast<size_t>(first + i)] = static_cast<int64_t>(value);
      }
    });
  });
  ITO_USER_CHECK(converted, place(name), ": is ", name_of(found.type), ", expected whole numbers (I64, I32 or U8)");
  return values;
}

std::vector<uint8_t> SafetensorsFile::read_raw(const std::string& name) const {
  const Entry& found = entry(name);
  std::vector<uint8_t> bytes(found.end - found.begin);
  file_.read_at(data_start_ + found.begin, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace ito
