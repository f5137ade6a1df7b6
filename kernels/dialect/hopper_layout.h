// SPDX-License-Identifier: Apache-2.0
// Where the elements of a Hopper tile lie, and what a wgmma is told about it. Included by each dialect's hopper.h.
#pragma once
#include <cstdint>

#include "kernels/dialect/tma_box.h"

namespace ito {

// Which index of an operand is contiguous in shared memory: the one that is summed over, or the row of A, column of B.
enum class Major : uint8_t { K, MN };

// The element's place in a tile that begins at 1024 bytes: byte `offset` of rows laid one behind another, permuted as
// the hardware does it: the chunk's number (address bits 4 to 6) exclusive-or the row's (bits 7 to 9), fewer bits for
// narrower rows.
template <TileRows Rows>
DEVICE uint32_t swizzled(uint32_t offset) {
  constexpr uint32_t kChunks = static_cast<uint32_t>(Rows) / 16;
  return kChunks ? offset ^ ((offset >> 3) & ((kChunks - 1) << 4)) : offset;
}

// The 64 bits of a wgmma's matrix descriptor: start, leading and stride offsets in units of 16 bytes, and the mode.
template <TileRows Rows>
DEVICE uint64_t descriptor_bits(uint32_t address, uint32_t leading, uint32_t stride) {
  static_assert(Rows != TileRows::Plain, "operands lie in swizzled tiles");
  constexpr uint64_t kMode = Rows == TileRows::Bytes128 ? 1 : Rows == TileRows::Bytes64 ? 2 : 3;
  return uint64_t{(address & 0x3FFFF) >> 4} | uint64_t{leading >> 4} << 16 | uint64_t{stride >> 4} << 32 | kMode << 62;
}

}  // namespace ito
