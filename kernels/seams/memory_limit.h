// SPDX-License-Identifier: Apache-2.0
// How much device memory there is to plan with. Part of the device seam: each device library defines it.
#pragma once
#include <cstddef>

namespace ito {

// Bytes that can still be allocated. On cpu and sim, whose device memory is the host's, the least of what the system
// calls available, what the process's cgroups leave and what RLIMIT_AS leaves; SIZE_MAX where nothing says.
// The environment variable ITO_MEMORY_LIMIT_MIB, a whole number, takes the place of all that.
size_t device_memory_limit();

// Of a GPU's memory what has gone since device_memory_limit() was first asked, besides the allocations of the ledger:
// kernels' code, graphs, libraries' handles, and what allocations are rounded up to. 0 on cpu and sim.
size_t device_bytes_beside_allocations();

// Whether what the host keeps is taken from the same memory (cpu, sim), so that a sum of needs has to count it.
bool device_memory_is_the_hosts();

}  // namespace ito
