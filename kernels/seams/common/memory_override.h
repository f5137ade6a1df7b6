// SPDX-License-Identifier: Apache-2.0
// The environment variable that takes the place of what a device says of its free memory.
#pragma once
#include <cstddef>
#include <optional>

namespace ito {

// ITO_MEMORY_LIMIT_MIB in bytes, if set. UserError if it is no whole number.
std::optional<size_t> memory_limit_from_environment();

}  // namespace ito
