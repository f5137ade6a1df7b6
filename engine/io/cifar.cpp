// SPDX-License-Identifier: Apache-2.0
// The planes are interleaved while reading: images are kept as (H, W, C) everywhere.
#include "engine/io/cifar.h"

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

void read_cifar_file(const std::string& path, const CifarKind& kind, CifarImages& images) {
  const std::vector<uint8_t> bytes = read_whole_file(path);
  const auto size = static_cast<size_t>(kind.record());
  ITO_USER_CHECK(!bytes.empty() && bytes.size() % size == 0, path, ": is ", bytes.size(),
                 " bytes long, not a whole number of ", kind.name, " records of ", size,
                 " bytes; it is cut short or another format");
  const size_t count = bytes.size() / size, plane = kCifarPixels / kCifarChannels;
  const auto label_bytes = static_cast<size_t>(kind.label_bytes);
  images.pixels.reserve(images.pixels.size() + count * kCifarPixels);
  for (size_t n = 0; n < count; ++n) {
    const uint8_t* record = &bytes[n * size];
    const int label = record[label_bytes - 1];
    ITO_USER_CHECK(label < kind.classes, path, ": record ", n, " has label ", label, "; ", kind.name,
                   " labels are 0 to ", kind.classes - 1);
    images.labels.push_back(label);
    for (size_t i = 0; i < plane; ++i)
      for (size_t c = 0; c < kCifarChannels; ++c) images.pixels.push_back(record[label_bytes + c * plane + i]);
  }
}

const std::vector<std::string>& cifar10_class_names() {
  static const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};
  return names;
}

}  // namespace ito
