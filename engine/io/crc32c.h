// SPDX-License-Identifier: Apache-2.0
// The checksum of TFRecord files: CRC-32C (Castagnoli; RFC 3720, appendix B.4), which zlib, whose CRC-32 has another
// polynomial, does not make.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace ito {

// By the byte: x^32 + x^28 + x^27 + ..., bits reflected.
inline constexpr std::array<uint32_t, 256> kCrc32cTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}();

inline uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = crc >> 8 ^ kCrc32cTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

}  // namespace ito
