// SPDX-License-Identifier: Apache-2.0
// PNG as it is, and with its chunks' checksums put right: mutations then reach what lies behind them.
#include <zlib.h>

#include "engine/io/image.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {
namespace {

uint32_t big_endian(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

// Chunks: length, type, that many bytes, CRC of type and bytes.
std::vector<uint8_t> repair_checksums(Bytes bytes) {
  std::vector<uint8_t> fixed(bytes.begin(), bytes.end());
  for (size_t at = 8; at + 12 <= fixed.size();) {
    const size_t length = big_endian(&fixed[at]);
    if (length > fixed.size() - at - 12) break;
    const uLong crc = crc32(0, &fixed[at + 4], static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) fixed[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return fixed;
}

void use(const Image& image) {
  demand(image.height > 0 && image.width > 0 && (image.channels == 1 || image.channels == 3), "an image has pixels");
  const size_t values = image.pixels.size();
  demand(values == image.offset(image.height - 1, image.width - 1, image.channels - 1) + 1, "every pixel is there");
  if (values <= 4096) demand(decode_png(encode_png(image), "again").pixels == image.pixels, "PNG is lossless");
}

}  // namespace

void fuzz_png(Bytes bytes) {
  const std::vector<uint8_t> raw(bytes.begin(), bytes.end()), fixed = repair_checksums(bytes);
  if (fixed != raw) attempt([&] { use(decode_png(fixed, "a.png")); });
  use(decode_png(raw, "a.png"));
}

}  // namespace ito
