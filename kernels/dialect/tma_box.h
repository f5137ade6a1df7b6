// SPDX-License-Identifier: Apache-2.0
// What one copy of Hopper's tensor memory accelerator moves: a box of a bf16 tensor in device memory, to or from rows
// of shared memory. Plain C++: the host describes it and each dialect makes its TmaMap of it. The limits are those of
// cuTensorMapEncodeTiled (cuda.h), and two of our own: a swizzled row is filled by the box, and elements are bf16.
#pragma once
#include <cstdint>

#include "kernels/types.h"

namespace ito {

// Bytes of a row of a tile in shared memory, and with them the swizzle: the 16-byte chunks of a row lie permuted, so
// that a column of rows has all banks. Plain: as the box is, not permuted.
enum class TileRows : uint8_t { Plain = 0, Bytes32 = 32, Bytes64 = 64, Bytes128 = 128 };

struct TmaBox {
  static constexpr int kMaxRank = 5;
  const void* base = nullptr;            // written to by tma_store
  int rank = 0;                          // dimensions, the contiguous one first
  int64_t size[kMaxRank] = {};           // elements
  int64_t stride[kMaxRank] = {};         // bytes from one to the next; of dimension 0 it is 2
  int box[kMaxRank] = {};                // elements spanned by the box
  int step[kMaxRank] = {1, 1, 1, 1, 1};  // every so-manieth of them is taken
  TileRows rows = TileRows::Plain;

  // Elements taken along a dimension, and bytes of the whole box: zeros for what is outside are counted.
  int taken(int d) const { return (box[d] + step[d] - 1) / step[d]; }
  int64_t bytes() const {
    int64_t n = 2;
    for (int d = 0; d < rank; ++d) n *= taken(d);
    return n;
  }
};

inline void check_tma_box(const TmaBox& b) {
  ITO_CHECK(b.rank >= 2 && b.rank <= TmaBox::kMaxRank, "tma_map: ", b.rank, " dimensions; expected 2 to 5");
  ITO_CHECK(reinterpret_cast<uintptr_t>(b.base) % 16 == 0, "tma_map: the tensor does not begin at 16 bytes");
  for (int d = 0; d < b.rank; ++d) {
    ITO_CHECK(b.size[d] >= 1 && b.size[d] <= int64_t{1} << 32, "tma_map: dimension ", d, " has ", b.size[d],
              " elements; expected 1 to 2^32");
    ITO_CHECK(b.box[d] >= 1 && b.box[d] <= 256, "tma_map: the box spans ", b.box[d], " of dimension ", d,
              "; expected 1 to 256");
    ITO_CHECK(b.step[d] >= 1 && b.step[d] <= 8, "tma_map: step ", b.step[d], " in dimension ", d, "; expected 1 to 8");
    if (d == 0) continue;
    ITO_CHECK(b.stride[d] >= 16 && b.stride[d] % 16 == 0 && b.stride[d] < int64_t{1} << 40, "tma_map: dimension ", d,
              " has a stride of ", b.stride[d], " bytes; expected a multiple of 16 below 2^40");
  }
  ITO_CHECK(b.step[0] == 1, "tma_map: step ", b.step[0], " in the contiguous dimension");
  const int row = 2 * b.box[0], width = static_cast<int>(b.rows);
  ITO_CHECK(row % 16 == 0, "tma_map: a row of the box has ", row, " bytes; expected a multiple of 16");
  ITO_CHECK(!width || row == width, "tma_map: a row of the box has ", row, " bytes in a tile with rows of ", width);
}

}  // namespace ito
