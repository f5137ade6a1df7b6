// SPDX-License-Identifier: Apache-2.0
// A box as the tensor memory accelerator takes it: 128 bytes that the driver encodes, a kernel's argument.
#pragma once
#include <cstdint>

#include "kernels/dialect/tma_box.h"

namespace ito {

struct alignas(64) TmaMap {
  uint64_t words[16];
};

// On the host. It depends on the address and the shape alone, so a captured launch keeps it.
TmaMap tma_map(const TmaBox& box);

// Whether the GPU has the instructions that *_sm90.cu are made of: Hopper, and no other.
bool device_has_wgmma();

}  // namespace ito
