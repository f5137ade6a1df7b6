// SPDX-License-Identifier: Apache-2.0
// See memory_check.h. Products and sums saturate, since absurd sizes are what is refused here.
#include "engine/program/memory_check.h"

#include <cstdint>
#include <string>

#include "kernels/error.h"

namespace ito {
namespace {

size_t mib_rounded_up(size_t bytes) {
  return (bytes >> 20) + ((bytes & ((1u << 20) - 1)) != 0);
}

}  // namespace

size_t saturated_product(std::initializer_list<size_t> factors) {
  size_t product = 1;
  for (const size_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) return SIZE_MAX;
  return product;
}

void check_memory(const char* work, std::initializer_list<MemoryNeed> needs, size_t limit, const char* advice) {
  size_t sum = 0;
  std::string parts;
  for (const MemoryNeed& need : needs) {
    if (__builtin_add_overflow(sum, need.bytes, &sum)) sum = SIZE_MAX;
    if (need.bytes) parts += join_text(parts.empty() ? "" : ", ", need.what, " ", mib_rounded_up(need.bytes));
  }
  ITO_USER_CHECK(sum <= limit, work, " needs ", mib_rounded_up(sum), " MiB (", parts, ") but only ", limit >> 20,
                 " MiB are free; ", advice);
}

}  // namespace ito
