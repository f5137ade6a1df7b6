// SPDX-License-Identifier: Apache-2.0
// FNV-1a over words of eight bytes: tells data and options of two runs apart, and is no defence against anybody.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace ito {

inline constexpr uint64_t kHashStart = 0xcbf29ce484222325u;

inline uint64_t hash_word(uint64_t hash, uint64_t word) {
  return (hash ^ word) * 0x100000001b3u;
}

inline uint64_t hash_bytes(uint64_t hash, const void* data, size_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    uint64_t word = 0;
    const size_t take = std::min<size_t>(8, bytes);
    std::memcpy(&word, p, take);
    hash = hash_word(hash, word);
    hash ^= hash >> 32;  // the product carries upwards only
    p += take;
    bytes -= take;
  }
  return hash;
}

inline uint64_t hash_text(const std::string& text) {
  return hash_bytes(hash_word(kHashStart, text.size()), text.data(), text.size());
}

}  // namespace ito
