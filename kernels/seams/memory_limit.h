// SPDX-License-Identifier: Apache-2.0
// How much memory there is to plan with. The device's is part of the device seam: each device library defines it.
#pragma once
#include <cstddef>

namespace ito {

// Bytes that can still be allocated; on cpu and sim those of the host. The environment variable ITO_MEMORY_LIMIT_MIB, a
// whole number, takes their place.
size_t device_memory_limit();

// The same of the host: the least of what the system calls available, what the process's cgroups leave and what
// RLIMIT_AS leaves; SIZE_MAX where nothing says.
size_t host_memory_limit();

// Of a GPU's memory what has gone since device_memory_limit() was first asked, besides the allocations of the ledger:
// kernels' code, graphs, libraries' handles, and what allocations are rounded up to. 0 on cpu and sim.
size_t device_bytes_beside_allocations();

// Whether what the host keeps is taken from the same memory (cpu, sim), so that a sum of needs has to count it.
bool device_memory_is_the_hosts();

}  // namespace ito
