// SPDX-License-Identifier: Apache-2.0
// Zip and tar archives as bytes, each claim of which a test may make a lie.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

inline std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i, value >>= 8) text += static_cast<char>(value);
  return text;
}

inline uint32_t checksum(std::string_view data) {
  uint32_t crc = ~0u;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

// Deflate's own way of packing nothing: one last block of plain bytes.
inline std::string deflated(std::string_view data) {
  const auto length = static_cast<uint16_t>(data.size());
  std::string packed(1, '\x01');
  packed += little_endian(length, 2) + little_endian(static_cast<uint16_t>(~length), 2);
  return packed.append(data);
}

// A member as a zip holds it, each claim of which a test may make a lie.
struct ZipMember {
  std::string name, packed;
  uint64_t unpacked = 0;
  uint32_t crc = 0;
  int method = 0, flags = 0;
  uint32_t unix_mode = 0;  // with the type of file
};

inline ZipMember stored(const std::string& name, const std::string& data) {
  return {name, data, data.size(), checksum(data)};
}

inline std::string zip(const std::vector<ZipMember>& members) {
  std::string file, directory;
  for (const ZipMember& m : members) {
    const std::string common = little_endian(static_cast<uint64_t>(m.flags), 2) +
                               little_endian(static_cast<uint64_t>(m.method), 2) + little_endian(0x00210000, 4) +
                               little_endian(m.crc, 4) + little_endian(m.packed.size(), 4) +
                               little_endian(m.unpacked, 4) + little_endian(m.name.size(), 2) + little_endian(0, 2);
    directory += "PK\1\2" + little_endian(3 << 8 | 20, 2) + little_endian(20, 2) + common + little_endian(0, 6) +
                 little_endian(uint64_t{m.unix_mode} << 16, 4) + little_endian(file.size(), 4) + m.name;
    file += "PK\3\4" + little_endian(20, 2) + common + m.name + m.packed;
  }
  return file + directory + "PK\5\6" + little_endian(0, 4) + little_endian(members.size(), 2) +
         little_endian(members.size(), 2) + little_endian(directory.size(), 4) + little_endian(file.size(), 4) +
         little_endian(0, 2);
}

// A member of a tar, in the format of POSIX.1-1988: a block of header, then its bytes in whole blocks.
struct TarFile {
  std::string name, bytes;
  char type = '0';  // '2': a symbolic link to `bytes`
};

inline std::string tar_member(const TarFile& file) {
  std::string header(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  const auto octal = [](size_t value, int digits) {
    char text[24];
    std::snprintf(text, sizeof text, "%0*zo", digits, value);
    return std::string(text);
  };
  const bool link = file.type == '1' || file.type == '2';
  put(0, file.name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, octal(link ? 0 : file.bytes.size(), 11));
  put(136, octal(0, 11));
  put(148, "        ");
  header[156] = file.type;
  if (link) put(157, file.bytes);
  put(257, std::string("ustar\0"
                       "00",
                       8));
  size_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 6));
  header[154] = '\0';
  if (link) return header;
  return header + file.bytes + std::string((512 - file.bytes.size() % 512) % 512, '\0');
}

inline std::string tar(const std::vector<TarFile>& files) {
  std::string archive;
  for (const TarFile& file : files) archive += tar_member(file);
  return archive + std::string(1024, '\0');
}

}  // namespace ito
