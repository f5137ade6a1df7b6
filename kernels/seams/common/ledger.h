// SPDX-License-Identifier: Apache-2.0
// The account of live device memory that every device library keeps behind device_bytes_in_use and its kin.
#pragma once
#include <cstddef>

namespace ito {

void ledger_add(void* memory, size_t bytes);
size_t ledger_remove(void* memory) noexcept;  // its bytes; ends the program if the memory is not in the account

}  // namespace ito
