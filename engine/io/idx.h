// SPDX-License-Identifier: Apache-2.0
// IDX files (MNIST and its relatives), plain or gzipped in one member or several: two zero bytes, the type (0x08
// unsigned bytes, 0x0C 32-bit integers, ...), the number of dimensions, each dimension as a big-endian u32, then the
// values, big-endian too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ito {

struct IdxArray {
  std::vector<int64_t> shape;  // (N), (N, H, W) or (N, H, W, C)
  std::vector<uint8_t> values;
};

// UserError if the file is not IDX of unsigned bytes with 1, 3 or 4 dimensions, or not exactly as long as they say.
IdxArray read_idx(const std::string& path);

// One label an item: from (N), or from the first column of (N, K), as QMNIST has its classes beside the writers. Of
// whole numbers of any width.
std::vector<int64_t> read_idx_labels(const std::string& path);

// By the first bytes, whatever the type; a gzipped file is looked into.
bool is_idx_file(const std::string& path);

}  // namespace ito
