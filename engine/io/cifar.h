// SPDX-License-Identifier: Apache-2.0
// CIFAR-10's binary version: records of one label byte and 3072 pixel bytes, as three 32x32 planes R, G, B.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ito {

inline constexpr int kCifarSize = 32, kCifarChannels = 3, kCifarClasses = 10;
inline constexpr int64_t kCifarPixels = 3072, kCifarRecord = 1 + kCifarPixels;

struct CifarImages {
  std::vector<uint8_t> pixels;  // (N, 32, 32, 3)
  std::vector<int32_t> labels;  // (N), 0..9
};

// Appends the images of one .bin file.
void read_cifar_file(const std::string& path, CifarImages& images);
// Whether the length fits whole CIFAR-10 records.
bool is_cifar_file(const std::string& path);
// In label order, from batches.meta.txt of the original distribution.
const std::vector<std::string>& cifar_class_names();

}  // namespace ito
