// SPDX-License-Identifier: Apache-2.0
// Reads event files by the formats' descriptions and with nothing of what writes them: the checksum is made bit by bit.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace ito::test {

template <class T>
T from_bytes(const std::string& bytes, size_t at) {
  if (at + sizeof(T) > bytes.size()) throw std::runtime_error("cut short");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The remainder of the bits, as a polynomial, by 0x11EDC6F41; reflected, inverted at both ends; then the mask.
inline uint32_t masked_checksum(const std::string& bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const bool differs = (crc ^ (static_cast<uint8_t>(c) >> bit)) & 1;
      crc = (crc >> 1) ^ (differs ? 0x82f63b78 : 0);
    }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

inline std::vector<std::string> read_records(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = from_bytes<uint64_t>(file, at);
    if (length > file.size() || at + 16 + length > file.size()) throw std::runtime_error("a record cut short");
    const std::string data = file.substr(at + 12, length);
    if (from_bytes<uint32_t>(file, at + 8) != masked_checksum(file.substr(at, 8)) ||
        from_bytes<uint32_t>(file, at + 12 + length) != masked_checksum(data))
      throw std::runtime_error("a wrong checksum");
    records.push_back(data);
    at += 16 + length;
  }
  return records;
}

// Fields of a protobuf message by number: whole numbers, the bits of fixed ones, or bytes.
using Fields = std::multimap<uint64_t, std::variant<uint64_t, std::string>>;
inline Fields read_fields(const std::string& message) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = from_bytes<uint8_t>(message, at++);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  Fields fields;
  while (at < message.size()) {
    const uint64_t key = varint(), kind = key & 7;
    if (kind == 0) {
      fields.emplace(key >> 3, varint());
    } else if (kind == 1) {
      fields.emplace(key >> 3, from_bytes<uint64_t>(message, at)), at += 8;
    } else if (kind == 5) {
      fields.emplace(key >> 3, uint64_t{from_bytes<uint32_t>(message, at)}), at += 4;
    } else if (kind == 2) {
      const uint64_t length = varint();
      fields.emplace(key >> 3, message.substr(at, length)), at += length;
    } else {
      throw std::runtime_error("an unknown kind of field");
    }
  }
  return fields;
}

inline uint64_t number_of(const Fields& fields, uint64_t field) {
  const auto found = fields.find(field);
  return found == fields.end() ? 0 : std::get<uint64_t>(found->second);
}
inline std::string text_of(const Fields& fields, uint64_t field) {
  const auto found = fields.find(field);
  return found == fields.end() ? "" : std::get<std::string>(found->second);
}

struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string version;
  bool starts = false;
  std::map<std::string, float> scalars;
  std::map<std::string, Fields> pictures;  // height, width, channels, PNG
};

inline std::vector<Event> read_events(const std::string& file) {
  std::vector<Event> events;
  for (const std::string& record : read_records(file)) {
    const Fields fields = read_fields(record);
    Event event;
    const uint64_t wall_time = number_of(fields, 1);
    std::memcpy(&event.wall_time, &wall_time, sizeof wall_time);
    event.step = static_cast<int64_t>(number_of(fields, 2));
    event.version = text_of(fields, 3);
    event.starts = number_of(read_fields(text_of(fields, 7)), 1) == 1;
    for (const auto& [number, value] : read_fields(text_of(fields, 5))) {
      const Fields parts = read_fields(std::get<std::string>(value));
      if (parts.contains(4)) {
        event.pictures[text_of(parts, 1)] = read_fields(text_of(parts, 4));
        continue;
      }
      const auto bits = static_cast<uint32_t>(number_of(parts, 2));
      std::memcpy(&event.scalars[text_of(parts, 1)], &bits, sizeof bits);
    }
    events.push_back(event);
  }
  return events;
}

}  // namespace ito::test
