// SPDX-License-Identifier: Apache-2.0
// What the host's devices tell of their cores; the choice of how many threads to use is common to them.
#pragma once

namespace ito {

int usable_cores();  // that this process may run on, at least 1

}  // namespace ito
