// SPDX-License-Identifier: Apache-2.0
// Device memory that is the host's.
#include "kernels/seams/memory_limit.h"

namespace ito {

size_t device_memory_limit() {
  return host_memory_limit();
}

size_t device_bytes_beside_allocations() {
  return 0;
}

bool device_memory_is_the_hosts() {
  return true;
}

}  // namespace ito
