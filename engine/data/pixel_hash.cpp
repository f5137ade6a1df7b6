// SPDX-License-Identifier: Apache-2.0
// See pixel_hash.h. The hash takes eight bytes at a time, wherever one image ends and the next begins.
#include "engine/data/pixel_hash.h"

#include <algorithm>
#include <cstring>

#include "engine/io/hash.h"

namespace ito {

PixelHash::PixelHash(int64_t count, int height, int width, int channels) : hash_(kHashStart) {
  for (const int64_t size : {count, int64_t{height}, int64_t{width}, int64_t{channels}})
    hash_ = hash_word(hash_, static_cast<uint64_t>(size));
  hash_ = hash_word(hash_, 1);  // byte a number
}

void PixelHash::add(const uint8_t* pixels, size_t bytes) {
  if (rest_bytes_ > 0) {
    const size_t take = std::min(bytes, sizeof(rest_) - rest_bytes_);
    std::memcpy(rest_ + rest_bytes_, pixels, take);
    rest_bytes_ += take;
    pixels += take;
    bytes -= take;
    if (rest_bytes_ < sizeof(rest_)) return;
    hash_ = hash_bytes(hash_, rest_, sizeof(rest_));
  }
  rest_bytes_ = bytes % sizeof(rest_);
  hash_ = hash_bytes(hash_, pixels, bytes - rest_bytes_);
  std::memcpy(rest_, pixels + bytes - rest_bytes_, rest_bytes_);
}

uint64_t PixelHash::finish(std::span<const int32_t> labels) {
  hash_ = hash_bytes(hash_, rest_, rest_bytes_);
  return hash_bytes(hash_, labels.data(), labels.size_bytes());
}

}  // namespace ito
