// SPDX-License-Identifier: Apache-2.0
// See memory_override.h.
#include "kernels/seams/common/memory_override.h"

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char* kVariable = "ITO_MEMORY_LIMIT_MIB";

}  // namespace

std::optional<size_t> memory_limit_from_environment() {
  const char* text = std::getenv(kVariable);
  if (!text || !*text) return {};
  char* end = nullptr;
  errno = 0;
  const unsigned long long mib = std::strtoull(text, &end, 10);
  const bool digit = text[0] >= '0' && text[0] <= '9';
  ITO_USER_CHECK(digit && *end == 0 && errno == 0 && mib <= SIZE_MAX >> 20, kVariable, " is '", text,
                 "'; expected a whole number of MiB");
  return static_cast<size_t>(mib) << 20;
}

}  // namespace ito
