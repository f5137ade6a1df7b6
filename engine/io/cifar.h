// SPDX-License-Identifier: Apache-2.0
// The binary versions of CIFAR-10 and CIFAR-100: records of one label byte (CIFAR-100: two, the coarse class and the
// fine one) and 3072 pixel bytes, as three 32x32 planes R, G, B.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ito {

inline constexpr int kCifarSize = 32, kCifarChannels = 3;
inline constexpr int64_t kCifarPixels = 3072;

struct CifarKind {
  const char* name;
  int label_bytes;  // the last of them is the class
  int classes;
  int64_t record() const { return label_bytes + kCifarPixels; }
};
inline constexpr CifarKind kCifar10{"CIFAR-10", 1, 10}, kCifar100{"CIFAR-100", 2, 100};

struct CifarImages {
  std::vector<uint8_t> pixels;  // (N, 32, 32, 3)
  std::vector<int32_t> labels;  // (N)
};

// Appends the images of one .bin file.
void read_cifar_file(const std::string& path, const CifarKind& kind, CifarImages& images);

// In label order, from batches.meta.txt of the original distribution.
const std::vector<std::string>& cifar10_class_names();

}  // namespace ito
