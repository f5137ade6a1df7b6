// SPDX-License-Identifier: Apache-2.0
// Device memory that only launches and copies can reach, as on a GPU: outside of them its pages are closed, and host
// code that follows a device pointer ends with a line that says so. sim uses it for all device memory.
#pragma once
#include <cstddef>

namespace ito {

void* guarded_allocate(size_t bytes);  // aligned to a page; null if there is none left. Closed.
void guarded_free(void* memory, size_t bytes) noexcept;

// While one lives, the pages are open to every thread.
class GuardedAccess {
 public:
  GuardedAccess();
  ~GuardedAccess();
  GuardedAccess(const GuardedAccess&) = delete;
  GuardedAccess& operator=(const GuardedAccess&) = delete;
};

}  // namespace ito
