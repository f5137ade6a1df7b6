// SPDX-License-Identifier: Apache-2.0
// The planes are interleaved while reading: images are kept as (H, W, C) everywhere.
#include "engine/io/cifar.h"

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

void read_cifar_file(const std::string& path, CifarImages& images) {
  const std::vector<uint8_t> bytes = read_whole_file(path);
  ITO_USER_CHECK(!bytes.empty() && bytes.size() % kCifarRecord == 0, path, ": is ", bytes.size(),
                 " bytes long, not a whole number of CIFAR-10 records of ", kCifarRecord,
                 " bytes; it is cut short or another format");
  const size_t count = bytes.size() / kCifarRecord, plane = kCifarPixels / kCifarChannels;
  images.pixels.reserve(images.pixels.size() + count * kCifarPixels);
  for (size_t n = 0; n < count; ++n) {
    const uint8_t* record = &bytes[n * kCifarRecord];
    ITO_USER_CHECK(record[0] < kCifarClasses, path, ": record ", n, " has label ", static_cast<int>(record[0]),
                   "; CIFAR-10 labels are 0 to 9");
    images.labels.push_back(record[0]);
    for (size_t i = 0; i < plane; ++i)
      for (size_t c = 0; c < kCifarChannels; ++c) images.pixels.push_back(record[1 + c * plane + i]);
  }
}

bool is_cifar_file(const std::string& path) {
  const uint64_t size = InputFile(path).size();
  return size > 0 && size % kCifarRecord == 0;
}

const std::vector<std::string>& cifar_class_names() {
  static const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                 "dog",      "frog",       "horse", "ship", "truck"};
  return names;
}

}  // namespace ito
