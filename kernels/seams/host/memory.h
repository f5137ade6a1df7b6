// SPDX-License-Identifier: Apache-2.0
// What the memory functions of host devices ask of the device library they are linked into.
#pragma once

namespace ito {

// Whether fresh and poisoned memory is filled with NaN bytes (0xFF): true in sim, false in cpu.
bool poison_is_nan();
// Whether device memory is closed to host code outside of launches (guarded_memory.h): in sim, unless a sanitizer is to
// see heap blocks with redzones.
bool guards_memory();

}  // namespace ito
