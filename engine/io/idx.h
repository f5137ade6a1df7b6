// SPDX-License-Identifier: Apache-2.0
// IDX files of unsigned bytes (MNIST and its relatives), plain or gzipped: two zero bytes, type 0x08, the number of
// dimensions, each dimension as a big-endian u32, then the bytes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ito {

struct IdxArray {
  std::vector<int64_t> shape;  // (N), (N, H, W) or (N, H, W, C)
  std::vector<uint8_t> values;
};

// UserError if the file is not IDX of bytes with 1, 3 or 4 dimensions, or not exactly as long as they say.
IdxArray read_idx(const std::string& path);
// By the first bytes; a gzipped file is looked into.
bool is_idx_file(const std::string& path);

}  // namespace ito
