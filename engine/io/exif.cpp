// SPDX-License-Identifier: Apache-2.0
// See exif.h. Own code, since a library would parse every tag and maker's note of an untrusted file to give this one.
#include "engine/io/exif.h"

namespace ito {
namespace {

constexpr int kUpright = 1;
constexpr uint32_t kOrientationTag = 0x0112, kShort = 3;
constexpr size_t kHeader = 8, kEntry = 12;  // bytes

// Numbers in the byte order that the header says. Reading past the end gives zeros.
class TiffBytes {
 public:
  TiffBytes(const uint8_t* bytes, size_t count) : bytes_(bytes), count_(count), big_(count > 0 && bytes[0] == 'M') {}
  uint32_t number(size_t at, size_t width) const {
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) value |= uint32_t{byte(at + i)} << 8 * (big_ ? width - 1 - i : i);
    return value;
  }
  bool has_header() const {
    const bool marked = byte(0) == byte(1) && (byte(0) == 'M' || byte(0) == 'I');
    return count_ >= kHeader && marked && number(2, 2) == 42;
  }

 private:
  uint8_t byte(size_t at) const { return at < count_ ? bytes_[at] : uint8_t{0}; }

  const uint8_t* bytes_;
  size_t count_;
  bool big_;
};

}  // namespace

int exif_orientation(const uint8_t* tiff, size_t bytes) {
  const TiffBytes file(tiff, bytes);
  if (!file.has_header()) return kUpright;
  const size_t directory = file.number(4, 4);
  const uint32_t entries = file.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntry;
    if (entry + kEntry > bytes) break;
    if (file.number(entry, 2) != kOrientationTag) continue;
    const uint32_t value = file.number(entry + 8, 2);
    const bool valid =
        file.number(entry + 2, 2) == kShort && file.number(entry + 4, 4) == 1 && value >= 1 && value <= 8;
    return valid ? static_cast<int>(value) : kUpright;
  }
  return kUpright;
}

}  // namespace ito
