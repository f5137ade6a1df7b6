// SPDX-License-Identifier: Apache-2.0
// Refusing work that does not fit, with the sum, before anything is allocated.
#pragma once
#include <cstddef>
#include <initializer_list>

namespace ito {

// SIZE_MAX where the product does not fit.
size_t saturated_product(std::initializer_list<size_t> factors);

struct MemoryNeed {
  const char* what;
  size_t bytes;
};

// UserError "WORK needs SUM MiB (WHAT MiB, ...) but only LIMIT MiB are free; ADVICE" if the needs exceed limit bytes. A
// sum past SIZE_MAX exceeds every limit.
void check_memory(const char* work, std::initializer_list<MemoryNeed> needs, size_t limit, const char* advice);

}  // namespace ito
