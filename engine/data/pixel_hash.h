// SPDX-License-Identifier: Apache-2.0
// The fingerprint of a data set of bytes, made as its images come by: what Dataset::fingerprint() says of them in
// memory, for those that never are there together.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ito {

class PixelHash {
 public:
  PixelHash(int64_t count, int height, int width, int channels);
  void add(const uint8_t* pixels, size_t bytes);  // in order
  uint64_t finish(std::span<const int32_t> labels);

 private:
  uint64_t hash_;
  uint8_t rest_[8] = {};  // what does not make a word of the hash yet
  size_t rest_bytes_ = 0;
};

}  // namespace ito
